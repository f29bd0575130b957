"""The paper's tables, in Markdown and LaTeX, from the table of cells."""

import argparse
from pathlib import Path

from workflow_scripts.core.atomic import atomic_path
from workflow_scripts.report.cell_table import read_cells
from workflow_scripts.report.tables import TABLES, latex, markdown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's arguments."""
    parser.add_argument("--cells", required=True, help="table of cells, Parquet")
    parser.add_argument("--output", required=True, type=Path, help="folder for the tables")


def run(args: argparse.Namespace) -> None:
    """Write {table}.md and {table}.tex for each of `TABLES`.

    Raises:
        UserError: if the table of cells cannot be read.
    """
    rows = read_cells(args.cells)
    for name, make in TABLES.items():
        table = make(rows)
        for suffix, write in (("md", markdown), ("tex", latex)):
            with atomic_path(args.output / f"{name}.{suffix}") as partial:
                partial.write_text(write(table), encoding="utf-8")
