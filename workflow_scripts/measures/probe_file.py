"""A probe's files: predictions in, a JSON file out that a schema describes."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic_core import from_json

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_json, read_table, sha256_of
from workflow_scripts.measures.statistic import Array

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

SCHEMA_VERSION = 2
SCHEMA = Path(__file__).with_name("probe.schema.json")


def read_probe(path: str) -> dict[str, Any]:
    """Return a probe, checked against its schema.

    Raises:
        UserError: if it is missing, not JSON or not a probe of this version.
    """
    try:
        # Of thousands of probes: this one reads JSON in half of the time.
        probe = from_json(Path(path).read_bytes(), allow_inf_nan=False)
    except (OSError, ValueError):
        probe = read_json(path)  # which says what is wrong
    validate(probe, path)
    return probe


def validate(value: Any, source: str, definition: str | None = None) -> None:
    """Check a probe, or the part of one that the schema calls ``definition``.

    Raises:
        UserError: naming ``source``, the key and what is wrong with it.
    """
    validator = _validator(definition)
    if not validator.is_valid(value):
        faults = validator.iter_errors(value)
        # What is wrong deepest inside says most.
        error = max(faults, key=lambda fault: len(fault.instance_path))
        message = error.message if len(error.message) < 200 else f"{error.message[:200]}…"
        place = "".join(
            f"[{key}]" if isinstance(key, int) else f".{key}" for key in error.instance_path
        )
        raise UserError(f"{source}: ${place}: {message}; {SCHEMA.name} says what is valid there")


@cache
def _validator(definition: str | None) -> "Draft202012Validator":
    """Return what checks a probe, or a part of it; thousands are read for one table."""
    from jsonschema_rs import Draft202012Validator

    schema = read_json(SCHEMA)
    if definition:
        schema = {"$schema": schema["$schema"], "$defs": schema["$defs"]} | {
            "$ref": f"#/$defs/{definition}"
        }
    return Draft202012Validator(schema)


def read_margins(files: Mapping[str, str]) -> dict[str, Array]:
    """Return each model's margins, shape (pairs,), in the order of the sorted pair ids.

    Args:
        files: predictions by model.

    Raises:
        UserError: if a file has a pair twice, an unusable margin, or not the first file's pairs.
    """
    tables = {model: _read_predictions(path) for model, path in files.items()}
    (first, (ids, _)), *others = tables.items()
    for model, (other_ids, _) in others:
        if not np.array_equal(ids, other_ids):
            for has, has_ids, lacks, lacks_ids in (
                (first, ids, model, other_ids),
                (model, other_ids, first, ids),
            ):
                if len(missing := np.setdiff1d(has_ids, lacks_ids)):
                    raise UserError(
                        f"{files[lacks]}: lacks the pair {missing[0]}, which {files[has]} has; "
                        "predict both on the same test set"
                    )
    return {model: margins for model, (_, margins) in tables.items()}


def _read_predictions(path: str) -> tuple[np.ndarray, Array]:
    """Return the sorted ids of a predictions file and their margins, both of shape (pairs,)."""
    table = read_table(path, ["id", "margin"])
    if not len(table):
        raise UserError(f"{path}: has no pairs; predict on a test set that is not empty")
    ids = np.array(table["id"].to_pylist(), dtype=np.str_)
    # Not through to_numpy(), which imports pandas and so takes longer than the whole probe.
    margins = np.array(table["margin"].to_pylist(), dtype=np.float64)
    order = np.argsort(ids, kind="stable")
    ids, margins = ids[order], margins[order]
    if len(twice := ids[1:][ids[1:] == ids[:-1]]):
        raise UserError(f"{path}: has the pair {twice[0]} twice; predict again")
    if len(unusable := ids[~np.isfinite(margins)]):
        raise UserError(
            f"{path}: the margin of {unusable[0]} is not a finite number; train again with a "
            "smaller learning rate"
        )
    return ids, margins


def sha256(path: str) -> str:
    """Return the SHA-256 of a predictions file, which the probe records.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        return sha256_of(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); predict again") from error
