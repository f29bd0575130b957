"""The report's figures of one target, from the table of cells."""

import argparse
from functools import cache
from importlib import import_module
from pathlib import Path

from workflow_scripts.report.cell_table import read_cells
from workflow_scripts.report.figure_list import FIGURES, rows_of_figure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's arguments."""
    parser.add_argument("--cells", required=True, help="table of cells, Parquet")
    parser.add_argument("--reliability", required=True, help="table of bins, Parquet")
    parser.add_argument("--target", required=True, help="the target whose cells are drawn")
    parser.add_argument(
        "--figures", nargs="+", choices=FIGURES, default=FIGURES, help="which ones (default: all)"
    )
    parser.add_argument("--output", required=True, type=Path, help="folder for the figures")


def run(args: argparse.Namespace) -> None:
    """Draw {figure}_TARGET.{svg,png} for each of the figures.

    Raises:
        UserError: if a table cannot be read.
    """
    from workflow_scripts.report.figures.style import in_force, save

    # Each table once, and none that no figure needs: a job draws one figure of thousands of cells.
    read = cache(read_cells)
    for name in args.figures:
        table = args.reliability if FIGURES[name].rows == "bins" else args.cells
        rows = rows_of_figure(name, read(table, args.target))
        module = import_module(f"workflow_scripts.report.figures.{name}")
        with in_force():
            figure = module.draw(rows)
            save(figure, args.output / f"{name}_{args.target}")
