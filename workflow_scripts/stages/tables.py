"""The report's tables, in Markdown, LaTeX and CSV, from the table of cells."""

import argparse
from pathlib import Path

from workflow_scripts.core.atomic import atomic_path
from workflow_scripts.report.cell_table import read_cells
from workflow_scripts.report.tables import TABLES
from workflow_scripts.report.written_table import FORMATS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's arguments."""
    parser.add_argument("--cells", required=True, help="table of cells, Parquet")
    parser.add_argument("--output", required=True, type=Path, help="folder for the tables")


def run(args: argparse.Namespace) -> None:
    """Write each of `TABLES` in each of `FORMATS`, as {table}.{ending}.

    Raises:
        UserError: if the table of cells cannot be read.
    """
    rows = read_cells(args.cells)
    for name, make in TABLES.items():
        table = make(rows)
        for ending, write in FORMATS.items():
            with atomic_path(args.output / f"{name}.{ending}") as partial:
                partial.write_text(write(table), encoding="utf-8")
