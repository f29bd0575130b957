"""Print the JSON Schema of config.yaml, by which editors complete and check it."""

import argparse
import json

from workflow_scripts.config import schema

CHANGES_NO_RESULT = "describes the configuration to editors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--overlay", action="store_true", help="that of a file laid over it, where any key may lack"
    )


def run(args: argparse.Namespace) -> None:
    """Print the schema."""
    print(text(overlay=args.overlay), end="")


def text(*, overlay: bool) -> str:
    """Return the schema as the repository keeps it."""
    return json.dumps(schema.of_overlay() if overlay else schema.of_config(), indent=2) + "\n"
