"""What a base model that is made here starts from, and what it reads."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from workflow_scripts.config.models import Architecture
from workflow_scripts.config.stage_settings import PretrainSettings
from workflow_scripts.core import seeds
from workflow_scripts.core.errors import UserError
from workflow_scripts.models.checkpoints import without_dropout
from workflow_scripts.models.tokenise import TokenSequences
from workflow_scripts.training.examples import Examples


def fresh_model(architecture: Architecture, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Return a language model with weights from torch's generator."""
    return AutoModelForCausalLM.from_config(
        _config(architecture, tokenizer), dtype=torch.float32, attn_implementation="sdpa"
    )


def windows(settings: PretrainSettings, tokens: NDArray[np.integer]) -> Examples:
    """Return the windows of a corpus, ``[tokens]``, that pretraining reads, in their order.

    Every token but a window's first is scored.

    Raises:
        UserError: if the corpus is shorter than a window.
    """
    length, batch_size = settings.sequence_length, settings.batch_size
    count = settings.steps * batch_size
    starts = window_starts(len(tokens), length, count, settings.seed)
    return Examples(
        ids=[f"at token {start}" for start in starts],
        sequences=TokenSequences(tokens, starts, np.full(count, length), np.ones(count, np.int64)),
        labels=np.ones(count),
        references=np.zeros(count),
        order=np.arange(count).reshape(-1, batch_size),
        room=length,
    )


def window_starts(tokens: int, length: int, count: int, seed: str) -> NDArray[np.int64]:
    """Return where ``count`` windows of ``length`` tokens begin.

    The corpus is cut into contiguous windows from a random offset on, these are shuffled, and so
    on with a new offset until there are enough: every token is seen about equally often.

    Raises:
        UserError: if the corpus is shorter than a window.
    """
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


def _config(architecture: Architecture, tokenizer: PreTrainedTokenizerBase) -> PreTrainedConfig:
    """Return a configuration without dropout and with tied embeddings."""
    width = architecture.width
    common: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "num_hidden_layers": architecture.layers,
        "num_attention_heads": architecture.heads,
        "max_position_embeddings": architecture.context,
        "tie_word_embeddings": True,
        # Embeddings of about unit length: at the usual 0.02 a model this narrow spends most of a
        # short budget on a plateau before it stores its first fact.
        "initializer_range": width**-0.5,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    match architecture.family:
        case "gpt2":
            # The same function as GPT-2's own "gelu_new", in one kernel instead of eight.
            activation = "gelu_pytorch_tanh"
            return without_dropout(GPT2Config(**common, activation_function=activation))
        case "llama":
            return without_dropout(LlamaConfig(**common, intermediate_size=4 * width))
