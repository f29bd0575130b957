"""Stage ``prepare_data``: four sets of preference pairs, disjoint by group, and dropped rows."""

import argparse
from pathlib import Path

from workflow_scripts.config.stage_settings import DataSettings, add_settings
from workflow_scripts.core.files import write_json, write_table
from workflow_scripts.data.filled_sets import counts
from workflow_scripts.data.groups import near_duplicates
from workflow_scripts.data.pair_sets import fill_sets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's command line."""
    add_settings(parser, DataSettings)
    parser.add_argument("--output", required=True, type=Path, help="folder for the four sets")


def run(args: argparse.Namespace) -> None:
    """Write ``{test,gt,weak,helpful}.parquet`` and ``report.json`` into ``args.output``.

    Raises:
        UserError: if a source cannot be read, a set comes out empty, or more than ``max_bad`` of
            the rows are bad.
    """
    settings = DataSettings.parsed(args.settings)
    filled = fill_sets(
        settings.target,
        settings.seed,
        settings.max_bad,
        settings.content()["sets"],
        screens=not settings.unscreened,
    )
    for pair_set in filled:
        write_table(args.output / f"{pair_set.name}.parquet", pair_set.table())
    near = near_duplicates(
        {part.name: [pair.prompt for pair in part.pairs.values()] for part in filled}
    )
    report = {
        "target": settings.target,
        "seed": settings.seed,
        "max_bad": settings.max_bad,
        **({"unscreened": True} if settings.unscreened else {}),
        "sets": {
            part.name: part.account() | {"near_duplicates": near[part.name]} for part in filled
        },
        "totals": counts(filled),
    }
    write_json(args.output / "report.json", report)
