"""How large a model is, read from its files where there are any: its entry needs no `params`."""

import json
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from workflow_scripts.cluster.shapes import Precision, Shape
from workflow_scripts.config import paths
from workflow_scripts.config.experiment import Config
from workflow_scripts.config.models import Model
from workflow_scripts.config.uses import Use
from workflow_scripts.core import weight_files
from workflow_scripts.core.errors import UserError

CHANGES_NO_RESULT = "how much memory a training needs, whatever its result"

ASSUMED_PARAMS = 1_500_000_000
"""Weights of a model whose entry has no `params`, as long as none of its files are here."""
_NAMES = {
    "width": ("hidden_size", "n_embd", "d_model"),
    "layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "vocabulary": ("vocab_size",),
}
"""What families call a number in config.json."""


class Size(NamedTuple):
    """The numbers of a model that its files say; None where they do not."""

    params: int | None = None
    family: str | None = None
    width: int | None = None
    layers: int | None = None
    vocabulary: int | None = None


def shape_of(config: Config, name: str, use: Use = "training") -> Shape:
    """Return a model's numbers: from its entry or, where it leaves them out, from its files.

    Args:
        config: the whole configuration.
        name: the model's.
        use: what is done with it: LoRA's adapters are those of its trainings alone.
    """
    model, precision = config.models[name], precision_of(config, use)
    if model.pretrain is not None:
        architecture = model.pretrain.architecture
        width, layers = architecture.width, architecture.layers
        params = 16 * layers * width**2 + 2000 * width
        shape = Shape.of(params, architecture.family, width, layers, precision=precision)
    else:
        read = size_of(config, name)
        shape = Shape.of(
            model.params or read.params or ASSUMED_PARAMS,
            model.family or read.family,
            model.width or read.width,
            model.layers or read.layers,
            read.vocabulary,
            precision,
        )
    return _adapted(model, shape) if use == "training" else shape


def precision_of(config: Config, use: Use) -> Precision:
    """Return what matrix products are computed in on a GPU (``models/scorer.py:low_precision``).

    Pretraining is this project's own, so that the authors' choices do not reach it.
    """
    asked = "fixed" if use == "pretraining" else config.compat.precision
    return "bfloat16" if asked == "fixed" else "float32"


def _adapted(model: Model, shape: Shape) -> Shape:
    if model.lora is None:
        return shape
    targets = model.lora.targets
    return shape.with_adapters(model.lora.r, None if targets is None else len(targets))


def size_of(config: Config, model: str) -> Size:
    """Return a model's size from where it is taken in, comes from, or waits in the hub's cache."""
    section = config.models[model]
    places = [Path(paths.MODEL.format(model=model))]
    if section.path:
        places.append(Path(config.data_root, section.path))
    elif section.id and not section.params:
        places += _in_cache(section.id, str(section.revision))
    for place in places:
        config_file = (place / "config.json").absolute()
        if config_file.is_file():
            return _read(config_file.parent, config_file.stat().st_mtime_ns)
    return Size()


def _in_cache(id_: str, revision: str) -> list[Path]:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(id_, "config.json", revision=revision)
    return [Path(found).parent] if isinstance(found, str) else []


@cache
def _read(folder: Path, _changed: int) -> Size:
    """Return what a model's folder says, once as long as its config.json does not change.

    What cannot be read is said when the model is taken in.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        numbers = {key: _number(config, names) for key, names in _NAMES.items()}
        family = config.get("model_type")
    except (OSError, ValueError, AttributeError):
        return Size()
    weights = _params(folder) or _estimated(**numbers)
    return Size(weights, family if isinstance(family, str) else None, **numbers)


def _number(config: dict[str, Any], names: tuple[str, ...]) -> int | None:
    found = (config.get(name) for name in names)
    return next((number for number in found if isinstance(number, int) and number > 0), None)


def _params(folder: Path) -> int | None:
    """Return how many weights a model's safetensors hold, by their headers; None where none do."""
    from safetensors import SafetensorError, safe_open

    params = 0
    try:
        for file in weight_files.holding(folder, str(folder)):
            with safe_open(file, "np") as weights:
                names = weights.keys()
                params += sum(prod(weights.get_slice(name).get_shape()) for name in names)
    except (UserError, OSError, SafetensorError):
        return None
    return params


def _estimated(width: int | None, layers: int | None, vocabulary: int | None) -> int | None:
    """Return about how many weights a transformer of these numbers has."""
    if not (width and layers and vocabulary):
        return None
    return 12 * layers * width**2 + vocabulary * width
