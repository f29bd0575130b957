"""Say what is wrong with a configuration in one line: file, key, fault, nearest valid spelling."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from workflow_scripts.config.layers import Layer


class AboutKey(ValueError):
    """A fault of one key that only shows when sections are compared."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.location = key.split(".")


class BelowSection(AboutKey):
    """A fault of a key that only shows when its section is whole; the key begins in there."""


class UndefinedName(AboutKey):
    """A name that no section defines."""

    def __init__(self, key: str, name: str, known: Iterable[str]) -> None:
        super().__init__(key, f"{name!r} is not defined{nearest(name, known)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean …?`` for the known name closest to ``name``, else the known names."""
    known = sorted(known)
    if close := difflib.get_close_matches(name, known, n=1, cutoff=0.6):
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""


def describe(fault: Mapping[str, Any], schema: type[BaseModel], layers: Sequence[Layer]) -> str:
    """Return the line for one of pydantic's errors.

    Args:
        fault: an item of ``ValidationError.errors()``.
        schema: the model that was validated.
        layers: what the configuration was merged from, later ones winning.
    """
    location = [part for part in fault["loc"] if part != "[key]"]
    for union in (["conflicts"], ["scenarios"], ["matrix", "students"]):
        place = len(union) + 1
        if location[: len(union)] == union and len(location) > place:
            # pydantic puts the discriminator's value between a union's key and its member's.
            del location[place]
    context = fault.get("ctx", {})
    if "discriminator" in context:
        location.append(context["discriminator"].strip("'"))
    cause = context.get("error")
    if isinstance(cause, BelowSection):
        location = [*location, *cause.location]
    elif isinstance(cause, AboutKey):
        location = cause.location
    message = _message(fault, schema, location)
    # A lower layer may have the key, and a higher one the section in place of the lower one's.
    said = location[:-1] if fault["type"] == "missing" else location
    return f"{_layer_of(said, layers)}: {'.'.join(map(str, location))}: {message}"


def _message(fault: Mapping[str, Any], schema: type[BaseModel], location: Sequence[Any]) -> str:
    found = fault["input"]
    match fault["type"]:
        case "extra_forbidden":
            key = str(location[-1])
            return f"unknown key {key!r}{nearest(key, _keys_at(schema, location[:-1]))}"
        case "missing" | "union_tag_not_found":
            return "missing; add it"
        case "literal_error":
            allowed = re.findall(r"'([^']*)'", fault["ctx"]["expected"])
            return f"{found!r} is not valid{nearest(str(found), allowed)}"
        case "union_tag_invalid":
            allowed = re.findall(r"'([^']*)'", fault["ctx"]["expected_tags"])
            tag = fault["ctx"]["tag"]
            return f"{tag!r} is not valid{nearest(tag, allowed)}"
        case "value_error":
            return fault["msg"].removeprefix("Value error, ")
        case _:
            message = fault["msg"]
            return f"{message[0].lower()}{message[1:]} (found {found!r})"


def _keys_at(schema: Any, location: Sequence[Any]) -> list[str]:
    """Return the keys that the section at ``location`` may have."""
    origin, arguments = get_origin(schema), get_args(schema)
    if origin is Annotated:
        return _keys_at(arguments[0], location)
    if origin in (Union, UnionType):
        return sorted({key for part in arguments for key in _keys_at(part, location)})
    if origin in (list, dict):
        return _keys_at(arguments[-1], location[1:])
    if not (isinstance(schema, type) and issubclass(schema, BaseModel)):
        return []
    if not location:
        return list(schema.model_fields)
    field = schema.model_fields.get(str(location[0]))
    return _keys_at(field.annotation, location[1:]) if field else []


def _layer_of(location: Sequence[Any], layers: Sequence[Layer]) -> str:
    """Return the last layer that sets the key or, where none does, the deepest of its parents."""
    for depth in range(len(location), 0, -1):
        for layer in reversed(layers):
            if _holds(layer.content, location[:depth]):
                return layer.name
    return layers[-1].name if layers else "--config"


def _holds(node: Any, location: Sequence[Any]) -> bool:
    for part in location:
        try:
            node = node[int(part)] if isinstance(node, list) else node[part]
        except (KeyError, IndexError, TypeError, ValueError):
            return False
    return True
