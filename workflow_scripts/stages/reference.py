"""Stage ``reference``: the frozen reference model's log-probabilities, computed once for DPO."""

import argparse

from workflow_scripts.config.stage_settings import TextSettings, add_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments."""
    add_settings(parser, TextSettings)
    parser.add_argument("--model", required=True, help="folder of the reference model")
    parser.add_argument("--pairs", nargs="+", required=True, help="pairs to score")
    parser.add_argument("--micro-batch", type=int, required=True, help="pairs in one forward")
    parser.add_argument("--threads", type=int, required=True, help="CPU threads")
    parser.add_argument("--output", required=True, help="table to write: id, chosen, rejected")


def run(args: argparse.Namespace) -> None:
    """Write the summed log-probabilities of both responses of every pair, in the pairs' order.

    Raises:
        UserError: if an input is missing or broken.
    """
    from functools import reduce
    from operator import add

    import torch

    from workflow_scripts.data.pairs import read_pairs
    from workflow_scripts.methods.readout import Readout
    from workflow_scripts.models import margins

    torch.set_num_threads(args.threads)
    settings = TextSettings.parsed(args.settings)
    pairs = reduce(add, [read_pairs(path) for path in args.pairs])
    chosen, rejected = margins.score_pairs(
        args.model,
        pairs,
        Readout.SUMMED_LOG_PROBABILITY,
        settings.compat,
        max_length=settings.max_length,
        micro_batch=args.micro_batch,
    )
    margins.write(args.output, pairs, {"chosen": chosen, "rejected": rejected})
