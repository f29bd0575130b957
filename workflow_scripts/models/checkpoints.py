"""Load base models and checkpoints, and save checkpoints, as ``save_pretrained`` folders."""

from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.activations import GELUTanh, NewGELUActivation
from transformers.modeling_layers import GenericForSequenceClassification
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
)

from workflow_scripts.config.models import Lora
from workflow_scripts.core.atomic import atomic_path
from workflow_scripts.core.errors import UserError, first_line
from workflow_scripts.methods.readout import Readout
from workflow_scripts.models import adapters, depth
from workflow_scripts.models.frozen_features import Features
from workflow_scripts.models.handing_out import read_by_one
from workflow_scripts.models.tokenise import TokenSequences

_HEAD = "score.weight"


def load_base(folder: Path | str, readout: Readout, lora: Lora | None = None) -> PreTrainedModel:
    """Open a model to train. For rewards, a head that it lacks is drawn from torch's generator.

    Weights are float32, attention is scaled-dot-product attention, or eager where the family has no
    other, and dropout is off. With ``lora`` adapters alone are trained: those of the folder where
    it has some; without, all weights are.

    Raises:
        UserError: if the folder is not a whole model in the hub's format, or an adapter of one.
    """
    base = adapters.base_of(folder)
    model = _load(base or folder, readout, may_lack={_HEAD})
    if base:
        adapters.load(model, folder, readout, trainable=True)
    elif lora:
        adapters.add(model, lora, readout)
    return model


def redraw_head(model: PreTrainedModel) -> None:
    """Draw a reward head's weights from U(-1/sqrt(d), 1/sqrt(d)), as torch's Linear of width d."""
    weight = model.get_parameter(_HEAD)
    bound = weight.shape[1] ** -0.5
    torch.nn.init.uniform_(weight, -bound, bound)


def load_first_layers(folder: Path | str, readout: Readout) -> PreTrainedModel:
    """Open a base model as ``load_base`` does, but a layer of each kind alone, and two at least.

    Raises:
        UserError: as ``load_base``.
    """
    return _load(folder, readout, may_lack={_HEAD}, few_layers=True)


def load_trained(folder: Path | str, readout: Readout) -> PreTrainedModel:
    """Open a trained checkpoint for scoring, as ``load_base`` does but with every weight there.

    Raises:
        UserError: if the folder is not a whole model in the hub's format or an adapter of one, or
            has no reward head where one is read.
    """
    base = adapters.base_of(folder)
    model = _load(base or folder, readout, may_lack={_HEAD} if base else set())
    if base:
        adapters.load(model, folder, readout, trainable=False)
    return model.eval()


def load_tokenizer(folder: Path | str) -> PreTrainedTokenizerBase:
    """Open a model's tokenizer and see to it that it has a padding token.

    Padding is masked everywhere, so where there is no padding token the end-of-text token serves.

    Raises:
        UserError: if it cannot be opened, or has no token to pad with.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(folder, "tokenizer", error) from error
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise UserError(
                f"{folder}: the tokenizer has neither a padding nor an end-of-text token"
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def save(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: str,
    dtype: Literal["bfloat16"] | None = None,
) -> None:
    """Write model and tokenizer to ``folder``, whole or not at all: of adapters, them alone.

    Args:
        model: the model, whose own weights are rounded to ``dtype``.
        tokenizer: its tokenizer.
        folder: what to write.
        dtype: of what is stored; None for that of the model.

    Raises:
        UserError: if they cannot be written, with the bytes that they need.
    """
    hush()
    if dtype == "bfloat16":
        model.to(torch.bfloat16)  # pyright: ignore[reportArgumentType]
    adapters.settle(model)
    model.config.pad_token_id = tokenizer.pad_token_id
    try:
        with atomic_path(folder) as partial:
            model.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
    except (OSError, SafetensorError) as error:
        needed = sum(weight.nbytes for weight in model.parameters() if weight.requires_grad)
        raise UserError(
            f"{folder}: the model cannot be written ({first_line(error)}); it needs about "
            f"{needed:,} bytes there: make room and run again"
        ) from error


def check_positions(model: PreTrainedModel, sequences: TokenSequences | Features) -> None:
    """Check that the model has a position for every token.

    Raises:
        UserError: naming the model and the longest text's length.
    """
    positions = getattr(model.config, "max_position_embeddings", None)
    longest = int(sequences.lengths.max())
    if positions is not None and longest > positions:
        raise UserError(
            f"{model.config.name_or_path}: a text has {longest} tokens but the model {positions} "
            f"positions; set max_length to {positions} or less"
        )


def without_dropout(config: PreTrainedConfig) -> PreTrainedConfig:
    """Set every dropout rate of ``config`` to 0, whatever the model's family calls it."""
    for name, value in config.to_dict().items():
        if ("drop" in name or name.endswith("_pdrop")) and isinstance(value, int | float):
            setattr(config, name, 0.0)
    return config


def _load(
    folder: Path | str, readout: Readout, may_lack: set[str], *, few_layers: bool = False
) -> PreTrainedModel:
    hush()
    try:
        config = without_dropout(
            AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        )
        if few_layers:
            depth.shorten(config, depth.of_each_kind(config))
        if readout.is_reward:
            config.num_labels = 1
        architecture: Any = architecture_of(config, readout)
        made: dict[str, Any] = {
            "config": config,
            "dtype": torch.float32,
            "attn_implementation": "sdpa" if architecture._supports_sdpa else "eager",
        }
        model, report = read_by_one(
            lambda: architecture.from_pretrained(
                folder,
                **made,
                use_safetensors=True,
                output_loading_info=True,
                local_files_only=True,
            ),
            lambda: architecture._from_config(**made),
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise _unreadable(folder, "model", error) from error
    missing = set(report["missing_keys"]) - may_lack
    if missing:
        raise UserError(
            f"{folder}: the checkpoint lacks {', '.join(sorted(missing)[:3])}; "
            "it is damaged or was trained with another objective"
        )
    fuse_gelu(model)
    return model


def architecture_of(config: PreTrainedConfig, readout: Readout) -> type[PreTrainedModel]:
    """Return the class of a family's language models or, for rewards, of those with a reward head.

    A family that has no such class gets the one that most families have.

    Raises:
        ValueError: if it has no language models.
    """
    kind = type(config)
    language_models: Any = MODEL_FOR_CAUSAL_LM_MAPPING
    with_reward_heads: Any = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    if kind not in language_models:
        raise ValueError(f"{config.model_type} is no family of language models")
    language_model = language_models[kind]
    if not readout.is_reward:
        return language_model
    if kind in with_reward_heads:
        return with_reward_heads[kind]
    family = next(base for base in language_model.__bases__ if issubclass(base, PreTrainedModel))
    name = language_model.__name__.replace("ForCausalLM", "ForSequenceClassification")
    return type(name, (GenericForSequenceClassification, family), {})


def fuse_gelu(model: PreTrainedModel) -> None:
    """Compute GPT-2's GELU in one kernel; eight elementwise ones take a quarter of the time."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, GELUTanh())


def hush() -> None:
    """Keep bars of reading and writing, and warnings of what is checked here, out of the log."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def _unreadable(folder: Path | str, what: str, error: Exception) -> UserError:
    there = "" if Path(folder).is_dir() else "; there is no such folder"
    return UserError(f"{folder}: cannot be opened as a {what} ({first_line(error)}){there}")
