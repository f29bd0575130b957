"""Which figures the report has. Importing this module imports no matplotlib.

A new figure is a module ``report/figures/{name}.py`` with a function ``draw``, an entry in
``FIGURES`` and a caption in ``rules/captions/{name}.rst``.
"""

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.report.cells import CellRow
from workflow_scripts.report.selection import direct

FIGURES = {
    "accuracies": "Accuracies between the ceilings",
    "deception_score": "Deception score",
    "excess_deception": "Deception in excess of a blind tax",
    "capability_gap": "Deception score against capability gap",
    "quadrants": "Conflict tax by who knows",
    "thresholds": "Deception score against the threshold of knowing",
    "specifications": "The claims under every specification",
    "bootstrapping": "Bootstrapped against direct supervision",
    "reliability": "Reliability of confidences",
    "selection_control": "Control of the selection by a second weak model",
}
"""Each figure's name and title, in the report's order; module `report.figures.{name}` draws it."""
CAPTIONS = Path(__file__).parents[2] / "rules/captions"


def rows_of_figure(
    name: str, cells: Sequence[CellRow], bins: Sequence[CellRow]
) -> Sequence[CellRow]:
    """Return what a figure is drawn from: rows of the table of cells, or of the table of bins.

    Students that the weak model doesn't supervise directly are drawn where they are compared with
    direct ones, and only there.
    """
    match name:
        case "reliability":
            return bins
        case "bootstrapping" | "specifications":
            return cells
        case _:
            return direct(cells)


def caption(name: str) -> str:
    """Return a figure's caption: what it shows and how to read it."""
    return (CAPTIONS / f"{name}.rst").read_text(encoding="utf-8").strip()
