"""Lay configuration files and ``--config`` over one another.

Sections merge key by key, but for what only makes sense whole: lists, a set's ``source``,
``hardware``, and keys of which one is given (a model's origin, a matrix's ``models`` or ``pairs``),
where the last layer that gives any of them has its way. ``null`` takes a key away. A layer with
``inherit: false`` stands alone.
"""

import fnmatch
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from workflow_scripts.core.errors import UserError

CHANGES_NO_RESULT = "reads the configuration, whose values are in the rules' slices"

INHERIT = "inherit"
_WHOLE = ("hardware", "targets.*.sets.*.source")
"""Sections that a layer replaces."""
_ONE_OF = {
    "matrix": ("models", "pairs"),
    "models.*": ("id", "path", "package", "pretrain"),
    "corpora.*": ("world", "target"),
}
"""Keys of which one is given, by their section: a layer's takes the place of those below."""
_OF_KEY = {"id": ("revision", "pickled_weights")}
"""Keys that go with one of these, and are replaced with it."""
_NULLS = ("null", "~")
"""How ``--config``, whose values are strings, spells null."""


class Layer(NamedTuple):
    """A configuration file, or ``--config``: its name in messages, and what it says."""

    name: str
    content: Mapping[str, Any]


def read_layers(files: Iterable[Path | str], overrides: Mapping[str, Any]) -> list[Layer]:
    """Return the layers of a configuration, later ones winning.

    Args:
        files: YAML files.
        overrides: what ``--config`` says.

    Raises:
        UserError: if a file is missing, is not YAML, is no mapping or gives a key twice.
    """
    layers = [Layer(str(file), _read(file)) for file in files]
    return [*layers, Layer("--config", overrides)] if overrides else layers


def merged(layers: Sequence[Layer]) -> dict[str, Any]:
    """Return what all layers say together."""
    whole: dict[str, Any] = {}
    for layer in layers:
        content = dict(layer.content)
        inherits = content.pop(INHERIT, True)
        whole = _laid_over(whole if inherits else {}, content, "")
    return whole


def standing_alone(layers: Sequence[Layer]) -> str:
    """Return all layers as the JSON of one that takes nothing from those below it."""
    return json.dumps({INHERIT: False, **merged(layers)})


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any], place: str) -> dict[str, Any]:
    result = dict(below)
    for section, keys in _ONE_OF.items():
        if fnmatch.fnmatchcase(place, section) and any(_given(above.get(key)) for key in keys):
            # A section that both layers give, as `pretrain: {steps: 4}`, is merged instead.
            replaced = {key for key in keys if not isinstance(above.get(key), Mapping)}
            replaced.update(*(_OF_KEY.get(key, ()) for key in replaced))
            result = {key: value for key, value in result.items() if key not in replaced}
    for key, value in above.items():
        here = f"{place}.{key}".lstrip(".")
        if not _given(value):
            result.pop(key, None)
        elif isinstance(value, Mapping):
            replaced = any(fnmatch.fnmatchcase(here, section) for section in _WHOLE)
            old = result.get(key)
            base = old if isinstance(old, Mapping) and not replaced else {}
            result[key] = _laid_over(base, value, here)
        else:
            result[key] = value
    return result


def _given(value: Any) -> bool:
    return value is not None and not (isinstance(value, str) and value in _NULLS)


class _Loader(yaml.SafeLoader):
    """Reads YAML as its users mean it: a key once, and 010 as ten."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.tag != "tag:yaml.org,2002:merge" and isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                mark = key.start_mark
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice; keep one", mark
                )
            seen.add(key.value)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int | str:
    text = node.value.replace("_", "")
    # YAML 1.1 reads 010 as eight and 1:30 as ninety.
    return int(text) if re.fullmatch(r"[-+]?\d+", text) else node.value


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def _read(file: Path | str) -> Mapping[str, Any]:
    try:
        content = yaml.load(Path(file).read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({error})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "it is not YAML"
        raise UserError(f"{file}{where}: {problem}") from error
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise UserError(f"{file}: is no mapping of keys to values; write `key: value` lines")
    return content
