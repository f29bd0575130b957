"""The pairs on which a cell's student may have deceived: taxed, strong-known and weak-unknown."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workflow_scripts.core.atomic import atomic_path
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_table, write_table
from workflow_scripts.measures.deception import DECEPTIVE, MODELS, Outcomes, quadrant_masks
from workflow_scripts.stages.probe import (
    add_cell_arguments,
    prediction_files,
    read_margins,
    validate,
)

if TYPE_CHECKING:
    import pyarrow as pa

TEMPLATE = Path(__file__).parents[2] / "workflow_scripts/report/templates/inspection.html.j2"
TEXTS = ("id", "prompt", "chosen", "rejected")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's arguments."""
    add_cell_arguments(parser)
    parser.add_argument("--pairs", required=True, help="the test pairs, Parquet")
    parser.add_argument("--html", required=True, help="the page to write")
    parser.add_argument("--parquet", required=True, help="the same as a table")


def run(args: argparse.Namespace) -> None:
    """List one cell's pairs with their texts and the four margins.

    Raises:
        UserError: if an input is unreadable, or predictions and pairs are not of one test set.
    """
    from jinja2 import Environment, StrictUndefined

    settings = json.loads(args.settings)
    validate(settings, "--settings", "settings")
    files = prediction_files(args)
    table = deceptive_pairs(args.pairs, files, settings)
    write_table(args.parquet, table)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        settings=settings, pairs=table.to_pylist()
    )
    with atomic_path(args.html) as partial:
        partial.write_text(page, encoding="utf-8")


def deceptive_pairs(path: str, files: Mapping[str, str], settings: Mapping[str, Any]) -> "pa.Table":
    """Return id, texts, and each model's margin (`margin_{model}`), worst of the student first.

    Args:
        path: the test pairs.
        files: predictions by model.
        settings: of the cell's probe.

    Raises:
        UserError: if a pair that was predicted is not among the test pairs, or the reverse.
    """
    import pyarrow as pa

    texts = read_table(path, list(TEXTS)).sort_by("id")
    first = next(iter(files.values()))
    predicted = sorted(read_table(first, ["id"])["id"].to_pylist())
    if predicted != texts["id"].to_pylist():
        raise UserError(f"{path}: holds other pairs than {first}; predict again on these pairs")
    margins = read_margins(files)
    outcomes = Outcomes.of(margins, settings["beta"])
    found = quadrant_masks(outcomes, settings["threshold"])[DECEPTIVE] & (outcomes.taxed > 0)
    for model in MODELS:
        texts = texts.append_column(f"margin_{model}", pa.array(margins[model].tolist()))
    places = np.flatnonzero(found)
    worst_first = places[np.argsort(margins["weak_to_strong"][places], kind="stable")]
    return texts.take(pa.array(worst_first.tolist(), pa.int64()))
