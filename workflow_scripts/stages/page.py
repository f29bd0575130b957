"""The report as one page that opens anywhere: no network, no server, no other file."""

import argparse
from pathlib import Path

from workflow_scripts.config.stage_settings import PageSettings, add_settings
from workflow_scripts.core.atomic import atomic_path
from workflow_scripts.core.files import read_json
from workflow_scripts.report.cell_table import read_cells
from workflow_scripts.report.page import page


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's arguments."""
    add_settings(parser, PageSettings)
    parser.add_argument("--cells", required=True, help="table of cells, Parquet")
    parser.add_argument("--data", required=True, nargs="+", help="reports of the data sets, JSON")
    parser.add_argument("--records", required=True, nargs="+", help="records of trainings, JSON")
    parser.add_argument("--figures", required=True, type=Path, help="folder of the figures")
    parser.add_argument("--output", required=True, type=Path, help="the page to write, HTML")


def run(args: argparse.Namespace) -> None:
    """Write the page.

    Raises:
        UserError: if an input is missing or unreadable.
    """
    text = page(
        PageSettings.parsed(args.settings).content(),
        read_cells(args.cells),
        data={Path(path).parent.name: read_json(path) for path in args.data},
        records=[read_json(path) for path in args.records],
        figures=args.figures,
        place=args.output,
    )
    with atomic_path(args.output) as partial:
        partial.write_text(text, encoding="utf-8")
