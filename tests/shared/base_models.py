"""Tiny base models of every family, with random weights and a tokenizer of one token a byte."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Cohere2Config,
    CohereConfig,
    Gemma2Config,
    GPT2Config,
    GPTJConfig,
    GPTNeoConfig,
    GPTNeoXConfig,
    GptOssConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    PreTrainedConfig,
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


WIDE: dict[str, Any] = SMALL | {"hidden_size": 16, "intermediate_size": 32}


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


GROUPED: dict[str, Any] = WIDE | {"num_key_value_heads": 2}
DEEP: dict[str, Any] = {"num_hidden_layers": 4}
UNLIKE: dict[str, PreTrainedConfig] = {
    "logits scaled": GraniteConfig(**WIDE, logits_scaling=8.0),
    "logits scaled, in parallel": CohereConfig(**WIDE, logit_scale=0.25),
    "logits scaled, a window": Cohere2Config(**WIDE, logit_scale=0.25, sliding_window=8),
    "logits capped, eager": Gemma2Config(
        **GROUPED | DEEP,
        head_dim=4,
        final_logit_softcapping=2.0,
        sliding_window=8,
    ),
    "a window": MistralConfig(**GROUPED, sliding_window=8),
    "a window in some layers": Qwen2Config(
        **GROUPED, use_sliding_window=True, sliding_window=8, max_window_layers=1
    ),
    "eager, local": GPTNeoConfig(
        **SMALL | DEEP,
        hidden_size=16,
        attention_types=[[["global", "local"], 2]],
        window_size=8,
    ),
    "eager, rotary": GPTJConfig(**SMALL, n_embd=16, rotary_dim=4),
    "eager, alibi": BloomConfig(**SMALL, hidden_size=16),
    "eager, experts": GptOssConfig(
        **GROUPED, head_dim=4, num_local_experts=4, num_experts_per_tok=2, sliding_window=8
    ),
}
"""Families that are scored otherwise: each text in a row of its own, or by their own forward."""


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
