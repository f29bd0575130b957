"""Cut a language model down to its first layers."""

import copy
from pathlib import Path

from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from workflow_scripts.core.errors import UserError, first_line


def first_layers(model: PreTrainedModel, depth: int) -> PreTrainedModel:
    """Return a model of the first ``depth`` layers, with the embeddings, last norm and head.

    Raises:
        UserError: if the model has fewer layers.
    """
    config = copy.deepcopy(model.config)
    if depth > config.num_hidden_layers:
        raise UserError(
            f"models: depth {depth}: the model has {config.num_hidden_layers} layers; set `depth` "
            "to that or less, or leave it out"
        )
    shorten(config, depth)
    shallow = AutoModelForCausalLM.from_config(config, dtype=model.dtype)
    weights = model.state_dict()
    shallow.load_state_dict({name: weights[name] for name in shallow.state_dict()})
    return shallow


def shorten(config: PreTrainedConfig, depth: int) -> None:
    """Have ``config`` describe a model of the first ``depth`` layers."""
    config.num_hidden_layers = depth
    # Some families list each layer's kind of attention.
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:depth]


def of_each_kind(config: PreTrainedConfig) -> int:
    """Return how many of a model's first layers have one of each kind; two where it has them."""
    layers: int = config.num_hidden_layers
    kinds = getattr(config, "layer_types", None) or [None] * layers
    found = max(kinds.index(kind) for kind in set(kinds)) + 1
    return min(layers, max(2, found))


def cut(folder: Path, depth: int) -> None:
    """Replace the model in ``folder`` by its first ``depth`` layers.

    Raises:
        UserError: if it has fewer, or does not open as a language model.
    """
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            dtype="auto",
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"models: depth {depth}: the model to cut does not open ({first_line(error)})"
        ) from error
    shallow = first_layers(model, depth)
    for weights in folder.glob("*.safetensors*"):
        weights.unlink()
    shallow.save_pretrained(folder)
