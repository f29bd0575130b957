"""LoRA (Hu et al. 2021): a small trained addition to a model whose own weights stay as they are.

A checkpoint is the addition alone, with the folder of the base model that it belongs to in
adapter_config.json; a reward head is part of the addition. Transformers and PEFT do the work.
"""

import json
from pathlib import Path

import torch
from peft import LoraConfig
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from workflow_scripts.config.models import Lora
from workflow_scripts.core.errors import UserError, first_line
from workflow_scripts.methods.readout import Readout

_DESCRIPTION = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"
_HEAD = "score"
_ALL = "all-linear"
"""What PEFT calls all matrices of all layers."""


def base_of(folder: Path | str) -> str | None:
    """Return the folder of the base model that a checkpoint adds to; None for a whole model.

    Raises:
        UserError: if it is not there, or the checkpoint does not name it.
    """
    path = Path(folder, _DESCRIPTION)
    if not path.exists():
        return None
    try:
        base = json.loads(path.read_text(encoding="utf-8"))["base_model_name_or_path"]
        there = Path(base, "config.json").exists()
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{path}: names no base model ({first_line(error)}); delete the checkpoint and run "
            "again"
        ) from error
    if not there:
        raise UserError(
            f"{folder}: is an adapter of {base}, which is not there; make that again first"
        )
    return base


def add(model: PreTrainedModel, lora: Lora, readout: Readout) -> None:
    """Add adapters that change nothing yet, drawn from torch's generator; they alone are trained.

    Raises:
        UserError: if the model has none of the modules that are to be adapted.
    """
    adapter = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        target_modules=lora.targets or _ALL,
        task_type="SEQ_CLS" if readout.is_reward else "CAUSAL_LM",
        modules_to_save=[_HEAD] if readout.is_reward else None,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )
    try:
        model.add_adapter(adapter)
    except ValueError as error:
        raise UserError(
            f"{model.config.name_or_path}: lora.targets: {first_line(error)}; name modules of the "
            "model, or leave `targets` out for all matrices"
        ) from error


def load(model: PreTrainedModel, folder: Path | str, readout: Readout, *, trainable: bool) -> None:
    """Add a checkpoint's adapters to its base model.

    Raises:
        UserError: if the checkpoint is damaged, or has no reward head where one is read.
    """
    if not Path(folder, _WEIGHTS).exists():
        # Otherwise PEFT would look for a pickle.
        raise UserError(f"{folder}: the checkpoint lacks {_WEIGHTS}; it is damaged")
    try:
        report = model.load_adapter(
            str(folder), is_trainable=trainable, adapter_kwargs={"local_files_only": True}
        )
    except Exception as error:
        # PEFT and transformers check with exceptions of any kind.
        raise UserError(f"{folder}: its adapters do not open ({first_line(error)})") from error
    saved = (getattr(each, "modules_to_save", None) or () for each in model.peft_config.values())
    has_head = any(_HEAD in names for names in saved)
    missing = sorted(report.missing_keys)
    if readout.is_reward and not has_head:
        missing.append(f"{_HEAD}.weight")
    if missing:
        raise UserError(
            f"{folder}: the checkpoint lacks {', '.join(missing[:3])}; it is damaged or was "
            "trained with another objective"
        )


def settle(model: PreTrainedModel) -> None:
    """Have adapters be described in the same bytes in every process: PEFT keeps names as sets."""
    for adapter in getattr(model, "peft_config", {}).values():
        for name, value in vars(adapter).items():
            if isinstance(value, set):
                setattr(adapter, name, sorted(value))


def shrink(model: PreTrainedModel) -> None:
    """Keep the matrices that are not trained in bfloat16, in which autocast would take them anyway.

    Embeddings, norms and biases stay as they are: autocast does not touch them.
    """
    embeddings = model.get_input_embeddings().weight
    for module in model.modules():
        if isinstance(module, nn.Linear | Conv1D):
            weight = module.weight
            if not weight.requires_grad and weight is not embeddings:
                weight.data = weight.data.to(torch.bfloat16)
