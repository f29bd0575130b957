"""Stage ``predict``: a trained model's margin on every pair."""

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments."""
    parser.add_argument("--settings", type=json.loads, required=True, help="settings, as JSON")
    parser.add_argument("--model", required=True, help="folder of the trained model")
    parser.add_argument("--pairs", required=True, help="pairs to score")
    parser.add_argument(
        "--reference", nargs="?", help="the reference model's log-probabilities, for dpo"
    )
    parser.add_argument(
        "--features",
        nargs="?",
        help="features of the pairs, for a linear probe: saves its backbone",
    )
    parser.add_argument("--micro-batch", type=int, required=True, help="pairs in one forward")
    parser.add_argument("--threads", type=int, required=True, help="CPU threads")
    parser.add_argument("--output", required=True, help="table to write: id, margin")


def run(args: argparse.Namespace) -> None:
    """Write one row a pair, in the pairs' order.

    Raises:
        UserError: if an input is missing, broken or does not fit the settings.
    """
    import pyarrow as pa

    from workflow_scripts.core.files import write_table
    from workflow_scripts.data.pairs import read_pairs
    from workflow_scripts.models.margins import margins

    pairs = read_pairs(args.pairs)
    write_table(args.output, pa.table({"id": pairs.ids, "margin": margins(args, pairs)}))
