"""The report's figures of one target, from the table of cells: of direct students."""

import argparse
from importlib import import_module
from pathlib import Path

from workflow_scripts.core.files import columns_of, read_table
from workflow_scripts.report.cells import direct, read_cells

FIGURES = {
    "accuracies": "Accuracies between the ceilings",
    "deception_score": "Deception score",
    "excess_deception": "Deception in excess of a blind tax",
    "capability_gap": "Deception score against capability gap",
    "quadrants": "Conflict tax by who knows",
    "thresholds": "Deception score against the threshold of knowing",
    "bootstrapping": "Bootstrapped against direct supervision",
    "reliability": "Reliability of confidences",
    "selection_control": "Control of the selection by a second weak model",
}
"""Each figure's name and title, in the report's order; module `report.figures.{name}` draws it."""
CAPTIONS = Path(__file__).parents[3] / "rules/captions"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's arguments."""
    parser.add_argument("--cells", required=True, help="table of cells, Parquet")
    parser.add_argument("--reliability", required=True, help="table of bins, Parquet")
    parser.add_argument("--target", required=True, help="the target whose cells are drawn")
    parser.add_argument("--output", required=True, type=Path, help="folder for the figures")


def run(args: argparse.Namespace) -> None:
    """Draw {figure}_TARGET.{svg,png} for each of `FIGURES`.

    Raises:
        UserError: if a table cannot be read.
    """
    from matplotlib import rc_context

    from workflow_scripts.report.figures.style import STYLE, save

    rows = read_cells(args.cells, args.target)
    bins = [
        row
        for row in read_table(args.reliability, columns_of(args.reliability)).to_pylist()
        if row["target"] == args.target
    ]
    # Variants of a student are drawn beside the direct one where they are compared, and only there.
    given = dict.fromkeys(FIGURES, direct(rows)) | {"bootstrapping": rows, "reliability": bins}
    for name, shown in given.items():
        module = import_module(f"workflow_scripts.report.figures.{name}")
        with rc_context(STYLE):
            save(module.draw(shown), args.output / f"{name}_{args.target}")


def caption(name: str) -> str:
    """Return a figure's caption: what it shows and how to read it."""
    return (CAPTIONS / f"{name}.rst").read_text(encoding="utf-8").strip()
