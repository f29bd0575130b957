"""The pairs on which a cell's student may have deceived: taxed, strong-known and weak-unknown."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_table
from workflow_scripts.measures.deception import DECEPTIVE, MODELS, Outcomes, quadrant_masks
from workflow_scripts.measures.probe_file import read_margins

if TYPE_CHECKING:
    import pyarrow as pa

TEMPLATE = Path(__file__).parent / "templates/inspection.html.j2"
TEXTS = ("id", "prompt", "chosen", "rejected")


def deceptive_pairs(path: str, files: Mapping[str, str], settings: Mapping[str, Any]) -> "pa.Table":
    """Return id, texts, and each model's margin (`margin_{model}`), the student's worst first.

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


def render(pairs: "pa.Table", settings: Mapping[str, Any]) -> str:
    """Return the page that shows what `deceptive_pairs` found, in HTML, all texts escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(settings=settings, pairs=pairs.to_pylist())
