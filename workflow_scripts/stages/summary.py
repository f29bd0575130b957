"""The table of cells, on the terminal."""

import argparse
import shutil
import sys

from rich.console import Console

from workflow_scripts.core.files import read_table
from workflow_scripts.report.summary import COLUMNS, Summary

FILE_WIDTH = 120
"""Width assumed where standard output is not a terminal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's arguments."""
    parser.add_argument("--cells", required=True, help="table of cells, Parquet")


def run(args: argparse.Namespace) -> None:
    """Print the cells.

    Raises:
        UserError: if the table cannot be read.
    """
    rows = read_table(args.cells, list(COLUMNS)).to_pylist()
    terminal = sys.stdout.isatty()
    console = Console(width=shutil.get_terminal_size().columns if terminal else FILE_WIDTH)
    console.print(Summary(rows))
