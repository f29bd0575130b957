"""The JSON Schema of config.yaml, from the classes that check it.

An editor completes and checks by it while typing. What only shows when sections are compared (a
name that nothing defines, two origins for one model) is checked when the workflow starts.
"""

import re
from typing import Any, get_args

from pydantic.json_schema import GenerateJsonSchema

from workflow_scripts.config.experiment import Config
from workflow_scripts.core.names import NAME, Name
from workflow_scripts.methods.students.registry import with_kind

CHANGES_NO_RESULT = "describes the configuration to editors"

Schema = dict[str, Any]


class _Generator(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        """Leave out titles that only repeat the key."""
        return False

    def function_after_schema(self, schema: Any) -> Schema:
        """Give names their pattern, which a function checks (`core.names`)."""
        described = super().function_after_schema(schema)
        if schema["function"]["function"] is get_args(Name)[1].func:
            described["pattern"] = f"^{NAME}$"
        return described


def of_config() -> Schema:
    """Return the schema of config.yaml."""
    schema = Config.model_json_schema(schema_generator=_Generator)
    _require_kinds(schema)
    _take_names_for_kinds(schema)
    _allow_lists_of_conflicts(schema)
    for part in _parts(schema):
        _describe_plainly(part)
        _name_keys(part)
    return {"$schema": GenerateJsonSchema.schema_dialect, "title": "config.yaml", **schema}


def of_overlay() -> Schema:
    """Return the schema of a file laid over config.yaml: the same, but no key is required.

    An entry that gives no `kind` fits several kinds of conflict; null takes a named entry away.
    """
    schema = of_config()
    schema["title"] = "a file laid over config.yaml"
    for part in _parts(schema):
        part.pop("required", None)
        part.pop("discriminator", None)
        if "oneOf" in part:
            part["anyOf"] = part.pop("oneOf")
    for part in _parts(schema):
        if "propertyNames" in part and isinstance(part["additionalProperties"], dict):
            part["additionalProperties"] = _or_null(part["additionalProperties"])
            named = part.get("properties", {})
            part |= (
                {"properties": {key: _or_null(of) for key, of in named.items()}} if named else {}
            )
    return schema


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _parts(node: Any) -> list[Schema]:
    """Return every schema within a schema, itself included.

    A key of ``properties`` or ``$defs`` is a name, whatever it says.
    """
    if isinstance(node, list):
        return [part for item in node for part in _parts(item)]
    if not isinstance(node, dict):
        return []
    found = [node]
    for key, value in node.items():
        if key in ("properties", "patternProperties", "$defs"):
            found += _parts(list(value.values()))
        elif key in ("items", "prefixItems", "additionalProperties", "anyOf", "oneOf", "allOf"):
            found += _parts(value)
    return found


def _require_kinds(schema: Schema) -> None:
    """Require the key that distinguishes the members of a union, as pydantic does.

    A student's may be left out (`students.registry.with_kind`).
    """
    for part in _parts(schema):
        for kind, member in _members(schema, part).items():
            if kind != with_kind({})["kind"]:
                member["required"] = ["kind", *member.get("required", [])]


def _take_names_for_kinds(schema: Schema) -> None:
    """Let an entry of `scenarios` leave out what `registry.with_kinds` puts in.

    That is a kind that is its name or, in a variant, every key but the kind.
    """
    section = schema["properties"]["scenarios"]
    (scenario,) = section["patternProperties"].values()
    section["properties"] = {
        kind: {**member, "required": [key for key in member["required"] if key != "kind"]}
        for kind, member in _members(schema, scenario).items()
    }
    for member in _members(schema, scenario).values():
        member["required"] = ["kind"]


def _allow_lists_of_conflicts(schema: Schema) -> None:
    """Allow a list of named conflicts under a kind's name (`conflict_lists.spelled_out`)."""
    section = schema["properties"]["conflicts"]
    (conflict,) = section["patternProperties"].values()
    section["properties"] = {}
    for kind, member in _members(schema, conflict).items():
        own = {key: value for key, value in member["properties"].items() if key != "kind"}
        entry = {
            **member,
            "properties": {"name": {"type": "string"}, **own},
            "required": ["name", *(key for key in member["required"] if key != "kind")],
        }
        section["properties"][kind] = {"anyOf": [conflict, {"type": "array", "items": entry}]}


def _members(schema: Schema, union: Schema) -> dict[str, Schema]:
    """Return the members of a union by their kind; none of what is no union."""
    mapping = union.get("discriminator", {}).get("mapping", {})
    return {
        kind: schema["$defs"][reference.removeprefix("#/$defs/")]
        for kind, reference in mapping.items()
    }


def _describe_plainly(part: Schema) -> None:
    """Write a docstring as Markdown, one line a paragraph, without its list of class variables."""
    if text := part.get("description"):
        text = text.partition("\n\nAttributes:")[0]
        paragraphs = [" ".join(lines.split()) for lines in re.split(r"\n\s*\n", text)]
        part["description"] = "\n\n".join(paragraphs).replace("``", "`")


def _name_keys(part: Schema) -> None:
    """Let no key of a section of names be anything but a name."""
    if named := part.pop("patternProperties", None):
        ((pattern, part["additionalProperties"]),) = named.items()
        part["propertyNames"] = {"pattern": pattern}
