"""Tiny base models of every family, with random weights and a tokenizer of one token a byte."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    set_seed,
)

from workflow_scripts.models import checkpoints

END = "<|endoftext|>"


SMALL: dict[str, Any] = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}


SMALL |= {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None, "vocab_size": 257}


FAMILIES = {
    "gpt2": GPT2Config(**SMALL, n_embd=16),
    "opt": OPTConfig(**SMALL, hidden_size=16, ffn_dim=32, word_embed_proj_dim=16),
    "opt-350m": OPTConfig(
        **SMALL, hidden_size=16, ffn_dim=32, word_embed_proj_dim=8, do_layer_norm_before=False
    ),
    "llama": LlamaConfig(**SMALL, hidden_size=16, intermediate_size=32),
    "mistral": MistralConfig(**SMALL, hidden_size=16, intermediate_size=32, num_key_value_heads=2),
    "gpt_neox": GPTNeoXConfig(**SMALL, hidden_size=16, intermediate_size=32),
    "qwen2": Qwen2Config(**SMALL, hidden_size=16, intermediate_size=32, num_key_value_heads=2),
}


def save_base(folder: Path, config) -> Path:
    """Save a model with random, larger than usual, weights and a tokenizer of one token a byte."""
    set_seed(0)
    config.initializer_range = 0.3
    model = AutoModelForCausalLM.from_config(config)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate([END, *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END)
    checkpoints.save(model, fast, str(folder))
    return folder
