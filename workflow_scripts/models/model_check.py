"""Whether a model that is taken in is one that every later stage can train and read out."""

import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.core import weight_files
from workflow_scripts.core.errors import UserError, first_line

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

CHANGES_NO_RESULT = "refuses a model, or leaves it as it is"

logger = logging.getLogger(__name__)

_COUNTS = ("num_hidden_layers", "num_attention_heads", "hidden_size", "vocab_size")
_NOT_WEIGHTS = re.compile(r"(^|\.)(masked_bias|inv_freq|position_ids|score\.weight)$")
"""Buffers that older versions of transformers saved, and a reward head, which is read as one."""
_QUANTIZED = ("I8", "U8", "I16", "I32", "I64", "F4", "F6", "F8")
"""Beginnings of the names of dtypes in which weights are not the numbers that they stand for."""


def check(folder: Path, origin: str) -> None:
    """Open a model as every later stage will: configuration, tokenizer, and every weight.

    Args:
        folder: in the hub's format.
        origin: what messages call the model.

    Raises:
        UserError: naming the model and what is wrong with it.
    """
    from workflow_scripts.models.checkpoints import load_tokenizer

    config = _config(folder, origin)
    _check_weights(folder, origin)
    embeddings = _check_names(folder, origin, config.model_type)
    try:
        tokenizer = load_tokenizer(folder)
    except UserError as error:
        raise UserError(str(error).replace(str(folder), origin)) from error
    if len(tokenizer) > embeddings:
        raise UserError(
            f"{origin}: the tokenizer has {len(tokenizer):,} tokens, but the model embeds "
            f"{embeddings:,}; give the tokenizer that the model was trained with"
        )
    logger.info("%s: a %s model", origin, config.model_type)


def _config(folder: Path, origin: str) -> "PreTrainedConfig":
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        # Each family checks its own configuration, and raises what it likes.
        if "custom code" in str(error):
            raise UserError(
                f"{origin}: config.json: auto_map: the model needs code of its own, which is never "
                "run; name a model that transformers knows"
            ) from error
        raise UserError(
            f"{origin}: config.json does not open ({_in_one_line(error)}); name a model that "
            "transformers knows"
        ) from error
    for name in _COUNTS:
        value = getattr(config, name, 1)
        if not isinstance(value, int) or value < 1:
            raise UserError(f"{origin}: config.json: {name} is {value!r}; it must be 1 or more")
    if "/" in (attention := str(config._attn_implementation)):
        raise UserError(
            f"{origin}: config.json: attn_implementation: {attention} is code from the hub, which "
            "is never run; delete that line"
        )
    if getattr(config, "quantization_config", None):
        raise UserError(
            f"{origin}: config.json: quantization_config: the model is quantized; name it in 16 "
            "or 32 bits"
        )
    return config


def _check_weights(folder: Path, origin: str) -> None:
    """Read all weights: every file is whole, in float numbers, and all of them are finite.

    Raises:
        UserError: naming the file and the weight that is not sound.
    """
    for file in weight_files.holding(folder, origin):
        for weight, reason in _faults(file, origin):
            raise UserError(f"{origin}: {file.name}: {weight} {reason}")


def _faults(file: Path, origin: str) -> Iterator[tuple[str, str]]:
    """Yield the weights of a file that are not sound, and why.

    Raises:
        UserError: if the file is not whole.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    weight_files.check_whole(file, origin)
    try:
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - it is no dictionary
                dtype = tensors.get_slice(name).get_dtype()
                if name.endswith("weight") and dtype.startswith(_QUANTIZED):
                    yield name, f"is quantized ({dtype}); name the model in 16 or 32 bits"
                values = tensors.get_tensor(name)
                if values.is_floating_point() and not bool(torch.isfinite(values).all()):
                    yield name, "has values that are not finite; get the model again"
    except SafetensorError as error:
        raise UserError(
            f"{origin}: {file.name} is no whole safetensors file ({first_line(error)}); "
            "get it again"
        ) from error


def _check_names(folder: Path, origin: str, family: str) -> int:
    """Check names and shapes of all weights, and return how many tokens the model embeds."""
    import torch
    from transformers import AutoModelForCausalLM

    from workflow_scripts.models.checkpoints import hush

    hush()
    try:
        # On the meta device, so that it takes no memory.
        opened: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype="auto",
            device_map={"": torch.device("meta")},
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    except Exception as error:
        raise UserError(
            f"{origin}: does not open as a language model ({_in_one_line(error)}); name another, "
            "or get it again"
        ) from error
    model, report = opened
    unexpected = [name for name in report["unexpected_keys"] if not _NOT_WEIGHTS.search(name)]
    other = [
        f"{name} is {tuple(there)} and not {tuple(asked)}"
        for name, there, asked in report["mismatched_keys"]
    ]
    for names, what in (
        (report["missing_keys"], "weights are missing"),
        (unexpected, f"weights that {family} does not know"),
        (other, "weights of another shape than config.json says"),
    ):
        if names:
            raise UserError(f"{origin}: {what}: {_few(names)}; get the model again")
    return model.get_input_embeddings().num_embeddings


def _few(names: Iterable[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + more


def _in_one_line(error: Exception) -> str:
    """Return an exception's message as one line; some families say over several what is wrong."""
    return " ".join(str(error).split())[:300] or first_line(error)
