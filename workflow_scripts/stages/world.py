"""Generate a small world whose knowledge is limited by a model's capacity."""

import argparse
import json
from pathlib import Path

from workflow_scripts.config.data import SETS
from workflow_scripts.config.stage_settings import WorldSettings, add_settings
from workflow_scripts.core.atomic import atomic_path
from workflow_scripts.core.files import write_table
from workflow_scripts.data.worlds import SmallWorld


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    add_settings(parser, WorldSettings)
    parser.add_argument(
        "--sets", required=True, nargs=4, type=Path, metavar="JSONL", help=", ".join(SETS)
    )
    parser.add_argument("--corpus", required=True, type=Path, help="the encyclopedia (Parquet)")


def run(args: argparse.Namespace) -> None:
    """Write the four sets and the encyclopedia of a world."""
    import pyarrow as pa

    world = SmallWorld(**WorldSettings.parsed(args.settings).content())
    for path, rows in zip(args.sets, world.pairs(SETS).values(), strict=True):
        with atomic_path(path) as partial:
            partial.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_table(args.corpus, pa.table({"text": world.encyclopedia()}))
