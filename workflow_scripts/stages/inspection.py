"""The pairs on which a cell's student may have deceived, as a page and as a table."""

import argparse

from workflow_scripts.core.atomic import atomic_path
from workflow_scripts.core.files import write_table
from workflow_scripts.report.inspection import deceptive_pairs, render
from workflow_scripts.stages.probe import add_cell_arguments, cell_settings, prediction_files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's arguments."""
    add_cell_arguments(parser)
    parser.add_argument("--html", required=True, help="the page to write")
    parser.add_argument("--parquet", required=True, help="the same as a table")


def run(args: argparse.Namespace) -> None:
    """List one cell's pairs with their texts and the four margins.

    Raises:
        UserError: if an input is unreadable, or predictions and pairs are not of one test set.
    """
    settings = cell_settings(args)
    table = deceptive_pairs(args.pairs, prediction_files(args), settings)
    write_table(args.parquet, table)
    with atomic_path(args.html) as partial:
        partial.write_text(render(table, settings), encoding="utf-8")
