"""Stage ``power``: which excess the configured test pairs, seeds and models can show."""

import argparse
import sys

from rich.console import Console

from workflow_scripts.config.experiment import load
from workflow_scripts.config.layers import read_layers
from workflow_scripts.report.power import notes, table

CHANGES_NO_RESULT = "tells what a run could show"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments."""
    parser.add_argument("--config", required=True, help="all of it, a JSON file")


def run(args: argparse.Namespace) -> None:
    """Print the least excess that each target can show.

    Raises:
        UserError: if the configuration cannot be read.
    """
    config = load(read_layers([args.config], {}))
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(table(config))
    for line in notes(config):
        console.print(line)
