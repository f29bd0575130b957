"""Stage ``pretrain``: a small language model from a corpus, for worlds without a hub."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from workflow_scripts.core.errors import UserError
from workflow_scripts.training.execution import Execution, add_execution_arguments

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments."""
    parser.add_argument("--settings", type=json.loads, required=True, help="settings, as JSON")
    parser.add_argument("--tokenizer", required=True, help="folder of the tokenizer")
    parser.add_argument("--tokens", required=True, help="the corpus in tokens")
    parser.add_argument("--output", required=True, help="folder to write, in the hub's format")
    parser.add_argument(
        "--record", required=True, help="JSON file to write: losses, tokens, seconds, ..."
    )
    parser.add_argument("--metrics", required=True, help="JSON lines to write while training")
    add_execution_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Pretrain, then write the model with its tokenizer and the record.

    The loss is that of SFT with every token but a sequence's first as response.

    Raises:
        UserError: if an input is missing, broken or does not fit the settings.
    """
    import numpy as np
    import torch
    import transformers
    from transformers import AutoModelForCausalLM

    from workflow_scripts.core import seeds
    from workflow_scripts.core.files import write_json
    from workflow_scripts.models import checkpoints
    from workflow_scripts.models.depth import first_layers
    from workflow_scripts.models.scorer import Readout
    from workflow_scripts.models.tokenise import TokenSequences
    from workflow_scripts.reruns import digests
    from workflow_scripts.runtime import ranks
    from workflow_scripts.training import telemetry, trainer
    from workflow_scripts.training.examples import Examples
    from workflow_scripts.training.objectives import Likelihood
    from workflow_scripts.training.resume import Attempt
    from workflow_scripts.training.schedule import Optimisation

    torch.set_num_threads(args.threads)
    settings = args.settings
    tokens = np.load(args.tokens)[: settings["tokens"]]
    length, batch_size = settings["sequence_length"], settings["batch_size"]
    count = settings["steps"] * batch_size
    tokenizer = checkpoints.load_tokenizer(args.tokenizer)
    if tokens.max() >= len(tokenizer):
        raise UserError(
            f"{args.tokens}: has token {tokens.max()}, but {args.tokenizer} knows "
            f"{len(tokenizer)}; "
            "delete both and run again"
        )
    transformers.set_seed(seeds.seed(settings["seed"]))
    model = AutoModelForCausalLM.from_config(
        _config(settings["architecture"], tokenizer),
        dtype=torch.float32,
        attn_implementation="sdpa",
    )
    starts = window_starts(len(tokens), length, count, settings["seed"])
    examples = Examples(
        ids=[f"at token {start}" for start in starts],
        sequences=TokenSequences(tokens, starts, np.full(count, length), np.ones(count, np.int64)),
        labels=np.ones(count),
        references=np.zeros(count),
        order=np.arange(count).reshape(-1, batch_size),
    )
    execution = Execution.of(args)
    code = args.code or digests.of_stage(__name__)
    with Attempt(execution, code, settings, [args.tokenizer, args.tokens]) as attempt:
        course = trainer.train(
            model,
            Readout.MEAN_LOG_PROBABILITY,
            examples,
            Likelihood(),
            Optimisation(settings["learning_rate"], "cosine", 0.0, 0.9, 0.999, 1e-8),
            execution,
            attempt,
            seed=settings["seed"],
            metrics=args.metrics,
        )
        if ranks.is_first():
            if settings.get("depth"):
                model = first_layers(model, settings["depth"])
            checkpoints.save(model, tokenizer, args.output)
            write_json(args.record, telemetry.record(course, settings, count, args.micro_batch))


def window_starts(tokens: int, length: int, count: int, seed: str) -> "NDArray[np.int64]":
    """Return where ``count`` windows of ``length`` tokens begin.

    The corpus is cut into contiguous windows from a random offset on, these are shuffled, and so
    on with a new offset until there are enough: every token is seen about equally often.

    Raises:
        UserError: if the corpus is shorter than a window.
    """
    import numpy as np

    from workflow_scripts.core import seeds

    if tokens < 2 * length:
        raise UserError(
            f"the corpus has {tokens} tokens, too few for windows of {length}; give a longer corpus"
        )
    generator = seeds.generator(seed)
    passes: list[NDArray[np.int64]] = []
    while sum(map(len, passes)) < count:
        offset = generator.integers(length)
        passes.append(generator.permutation(np.arange(offset, tokens - length + 1, length)))
    return np.concatenate(passes)[:count]


def _config(
    architecture: dict[str, Any], tokenizer: "PreTrainedTokenizerBase"
) -> "PreTrainedConfig":
    """Return a configuration without dropout and with tied embeddings."""
    from transformers import GPT2Config, LlamaConfig

    from workflow_scripts.models.checkpoints import without_dropout

    width, layers, heads = (architecture[name] for name in ("width", "layers", "heads"))
    common: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "max_position_embeddings": architecture["context"],
        "tie_word_embeddings": True,
        # Embeddings of about unit length: at the usual 0.02 a model this narrow spends most of a
        # short budget on a plateau before it stores its first fact.
        "initializer_range": width**-0.5,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    match architecture["family"]:
        case "gpt2":
            # The same function as GPT-2's own "gelu_new", in one kernel instead of eight.
            activation = "gelu_pytorch_tanh"
            return without_dropout(GPT2Config(**common, activation_function=activation))
        case "llama":
            return without_dropout(LlamaConfig(**common, intermediate_size=4 * width))
        case family:
            raise UserError(f"architecture family {family}: not one of gpt2, llama")
