"""What every contestant is given: the same models, the same pairs, the same batches."""

import argparse
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.core import seeds
from workflow_scripts.data.pair_sets import read_outcomes
from workflow_scripts.data.screening import Pair
from workflow_scripts.stages import tokenizer
from workflow_scripts.training import data_order

DATA = Path(os.getenv("W2S_DATA_ROOT", Path(__file__).parents[2] / "../shared/data/hh-single-turn"))
"""Where HH-RLHF's pairs are unless the command says otherwise."""
BATCH = 32
MAX_LENGTH = 512
SEED = "benchmarks/throughput"
VOCABULARY = 16_000
"""Tokens of the tokenizer; no model here has fewer embeddings."""

SIZES = {
    "nothing": {"family": "gpt2", "n_embd": 8, "n_layer": 1, "n_head": 1, "vocab_size": VOCABULARY},
    "tiny": {"family": "gpt2", "n_embd": 96, "n_layer": 2, "n_head": 3, "vocab_size": VOCABULARY},
    "10M": {"family": "gpt2", "n_embd": 256, "n_layer": 8, "n_head": 8, "vocab_size": VOCABULARY},
    "gpt2": {"family": "gpt2"},
    "gpt2-xl": {"family": "gpt2", "n_embd": 1600, "n_layer": 48, "n_head": 25},
    "opt-6.7b": {
        "family": "opt",
        "hidden_size": 4096,
        "ffn_dim": 16384,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "word_embed_proj_dim": 4096,
    },
    "mistral-7b": {"family": "mistral"},
}
"""Shapes, with their configuration class's own defaults for what is not said."""

OBJECTIVES = {
    "reward_model": {"objective": "reward_model"},
    "simpo": {"objective": "simpo", "beta": 2.0, "gamma": 1.0},
    "dpo": {"objective": "dpo", "beta": 0.1},
}
TRAINING = {
    "epochs": 1,
    "learning_rate": 1e-5,
    "schedule": "constant",
    "warmup": 0.0,
    "batch_size": BATCH,
    "max_length": MAX_LENGTH,
    "data_order": "shuffled",
    "adam": {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
    "compat": {},
    "seed": SEED,
}


def write_pairs(data_root: Path, folder: Path, count: int) -> Path:
    """Write ``count`` of HH-RLHF's harmless pairs, drawn at random, and the tokenizer's texts."""
    source = data_root / "harmless_train_gt.jsonl"
    outcomes = read_outcomes({"path": str(source), "format": "transcript"})
    pairs = [outcome for _, outcome in outcomes if isinstance(outcome, Pair)]
    rows = seeds.generator(SEED).permutation(len(pairs))
    all_pairs, drawn = folder / "texts.parquet", folder / f"pairs{count}.parquet"
    pq.write_table(_table(pairs, range(len(pairs))), all_pairs)
    pq.write_table(_table(pairs, rows[:count]), drawn)
    return drawn


def _table(pairs: list[Pair], rows) -> pa.Table:
    columns = ("prompt", "chosen", "rejected")
    texts = {name: [getattr(pairs[row], name) for row in rows] for name in columns}
    return pa.table({"id": [f"pair-{row:06d}" for row in rows], **texts})


def make_tokenizer(folder: Path) -> Path:
    """Train a byte-pair tokenizer on the texts, once; no tokenizer has to be fetched."""
    made = folder / "tokenizer"
    if made.exists():
        return made
    settings = json.dumps({"kind": "bpe", "vocab_size": VOCABULARY})
    parser = argparse.ArgumentParser()
    tokenizer.add_arguments(parser)
    arguments = ["--settings", settings, "--texts", str(folder / "texts.parquet")]
    arguments += ["--tokenizer", str(made), "--tokens", str(folder / "tokens.npy")]
    tokenizer.run(parser.parse_args(arguments))
    return made


def make_model(size: str, folder: Path, *, reward: bool) -> Path:
    """Write a model of random weights, with a reward head where one is trained."""
    import torch
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        set_seed,
    )

    from workflow_scripts.models import checkpoints

    made = folder / f"{size}-{'reward' if reward else 'language'}"
    if made.exists():
        return made
    shape = dict(SIZES[size])
    config = AutoConfig.for_model(shape.pop("family"), **shape)
    config = checkpoints.without_dropout(config)
    config.bos_token_id = config.eos_token_id = 0
    set_seed(seeds.seed(SEED))
    if reward:
        config.num_labels = 1
        model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    else:
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    checkpoints.save(model, checkpoints.load_tokenizer(folder / "tokenizer"), str(made))
    return made


def parameters(size: str) -> int:
    """Return how many weights a shape has."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = dict(SIZES[size])
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(shape.pop("family"), **shape))
    return sum(weight.numel() for weight in model.parameters())


def write_batches(folder: Path, pairs: Path) -> Path:
    """Write the pairs as tokens, and each step's batch, for those that don't tokenise themselves.

    The batches are those that the stage ``train`` makes. Inside a batch the pairs are in the order
    of a shuffle: sorting them by length is this workflow's own doing.
    """
    from workflow_scripts.data.pairs import read_pairs
    from workflow_scripts.models.checkpoints import load_tokenizer
    from workflow_scripts.models.tokenise import members, tokenise

    read = read_pairs(str(pairs))
    sequences = tokenise(
        load_tokenizer(folder / "tokenizer"),
        read.ids,
        read.prompts,
        [read.chosen, read.rejected],
        MAX_LENGTH,
    )
    lengths = sequences.row_lengths(members(len(sequences), len(read)))
    order = data_order.shuffled(lengths, batch_size=BATCH, epochs=1, seed=SEED)
    as_sampled = seeds.generator(f"{SEED}/sampler").permuted(order, axis=1)
    made = folder / f"batches{len(read)}.npz"
    np.savez(
        made,
        tokens=sequences.tokens,
        starts=sequences.starts,
        lengths=sequences.lengths,
        response_starts=sequences.response_starts,
        order=as_sampled,
    )
    return made
