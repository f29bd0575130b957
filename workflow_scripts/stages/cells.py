"""One table of all probes: one row a cell, and the same with seeds aggregated."""

import argparse

from workflow_scripts.core.files import write_table
from workflow_scripts.report.cell_table import as_table, read_probes, reliability_table, write_csv
from workflow_scripts.report.cells import ADJUSTED, Rows, packed
from workflow_scripts.report.over_seeds import aggregate
from workflow_scripts.report.p_values import adjusted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's arguments."""
    parser.add_argument("--probes", required=True, nargs="+", help="probes, JSON")
    parser.add_argument("--csv", required=True, help="table of cells to write")
    parser.add_argument("--parquet", required=True, help="the same as Parquet")
    parser.add_argument("--aggregated", required=True, help="table over seeds to write, CSV")
    parser.add_argument("--reliability", required=True, help="table of bins to write, Parquet")


def run(args: argparse.Namespace) -> None:
    """Gather probes into tables.

    Raises:
        UserError: if a file is not a probe, or two are of one cell.
    """
    cells = read_probes(args.probes)
    write_table(args.reliability, reliability_table(cells))
    rows = Rows(cell.row for cell in cells)
    # Of thousands of cells only what is still to be written is kept.
    del cells
    rows.put(ADJUSTED, adjusted(rows))
    write_csv(args.csv, rows)
    write_csv(args.aggregated, Rows(map(packed, aggregate(rows))))
    write_table(args.parquet, as_table(rows))
