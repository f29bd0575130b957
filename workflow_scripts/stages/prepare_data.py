"""Stage ``prepare_data``: four sets of preference pairs, disjoint by prompt, and dropped rows."""

import argparse
import json
from pathlib import Path

from workflow_scripts.core.files import write_json, write_table
from workflow_scripts.data.pair_sets import counts, fill_sets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's command line."""
    parser.add_argument("--settings", required=True, help="target, seed, max_bad and sets, as JSON")
    parser.add_argument("--output", required=True, type=Path, help="folder for the four sets")


def run(args: argparse.Namespace) -> None:
    """Write ``{test,gt,weak,helpful}.parquet`` and ``report.json`` into ``args.output``.

    Raises:
        UserError: if a source cannot be read, a set comes out empty, or more than ``max_bad`` of
            the rows are bad.
    """
    settings = json.loads(args.settings)
    target, seed, max_bad = settings["target"], settings["seed"], settings["max_bad"]
    filled = fill_sets(target, seed, max_bad, settings["sets"])
    for pair_set in filled:
        write_table(args.output / f"{pair_set.name}.parquet", pair_set.table())
    report = {
        "target": target,
        "seed": seed,
        "max_bad": max_bad,
        "sets": {pair_set.name: pair_set.account() for pair_set in filled},
        "totals": counts(filled),
    }
    write_json(args.output / "report.json", report)
