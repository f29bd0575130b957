"""Pretraining from a corpus, through the stages that the rules run."""

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.shared.base_models import FAMILIES, save_base
from tests.shared.stages import run_stage
from tests.shared.trainings import weights
from workflow_scripts.training.pretraining import window_starts


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_pretraining_from_a_corpus_learns_and_can_be_repeated(family, tmp_path):
    colours, things = ("red", "blue", "green", "grey"), ("dog", "cat", "cow")
    corpus = [f"the {colour} fox jumps over the {thing}" for colour in colours for thing in things]
    corpus *= 10
    pq.write_table(pa.table({"text": corpus}), tmp_path / "corpus.parquet")
    run_stage(
        "tokenizer",
        *(
            "--settings",
            json.dumps({"kind": "word", "vocab_size": 300}),
            "--texts",
            tmp_path / "corpus.parquet",
        ),
        *("--tokenizer", tmp_path / "tokenizer", "--tokens", tmp_path / "tokens.npy"),
    )
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    tokens = np.load(tmp_path / "tokens.npy")
    assert tokenizer.decode(tokens[:9]) == corpus[0] + " " + tokenizer.eos_token + " the"
    settings = {
        "architecture": {"family": family, "width": 16, "layers": 1, "heads": 2, "context": 16},
        **{"steps": 40, "batch_size": 16, "sequence_length": 12},
        **{"learning_rate": 1e-2, "seed": "models/tiny", "tokens": None},
    }
    for name in ("one", "two"):
        run_stage(
            "pretrain",
            *("--settings", json.dumps(settings), "--tokenizer", tmp_path / "tokenizer"),
            *("--tokens", tmp_path / "tokens.npy", "--micro-batch", 16, "--threads", 1),
            *("--output", tmp_path / name, "--record", tmp_path / f"{name}.json"),
            *("--metrics", tmp_path / f"{name}.jsonl"),
        )
    one, two = (tmp_path / name / "model.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    losses = json.loads((tmp_path / "one.json").read_text())["losses"]
    assert losses[-1] < 0.5 * math.log(len(tokenizer)) < losses[0]
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "one")
    prompt = tokenizer("the red fox jumps over", return_tensors="pt")
    assert tokenizer.decode(model(**prompt).logits[0, -1].argmax()) == "the"


def test_windows_cover_the_corpus_evenly():
    starts = window_starts(1000, 10, 500, seed="a")
    seen = np.zeros(1000)
    for start in starts:
        seen[start : start + 10] += 1
    assert seen.sum() == 5000
    assert seen[10:-10].min() >= 4
    assert seen.max() <= 6


def test_a_pretrained_model_may_be_cut_to_its_first_layers(tmp_path):
    base = save_base(tmp_path / "base", FAMILIES["gpt2"])
    np.save(tmp_path / "tokens.npy", np.random.default_rng(0).integers(257, size=400))
    settings = {
        "architecture": {"family": "gpt2", "width": 16, "layers": 2, "heads": 2, "context": 32},
        **{"steps": 3, "batch_size": 4, "sequence_length": 16, "learning_rate": 1e-3},
        **{"tokens": None, "seed": "models/cut"},
    }
    for name, depth in (("whole", {}), ("cut", {"depth": 1})):
        folder = tmp_path / name
        run_stage(
            "pretrain",
            *("--settings", json.dumps(settings | depth), "--tokenizer", base),
            *("--tokens", tmp_path / "tokens.npy", "--micro-batch", 4, "--threads", 1),
            *("--output", folder / "checkpoint", "--record", folder / "train.json"),
            *("--metrics", folder / "metrics.jsonl"),
        )
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert {name for name in whole if ".h.1." not in name} == set(cut)
    assert all(torch.equal(cut[name], whole[name]) for name in cut)
