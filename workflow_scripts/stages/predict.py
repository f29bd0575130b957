"""Stage ``predict``: a trained model's margin on every pair."""

import argparse
from typing import TYPE_CHECKING

from workflow_scripts.config.stage_settings import ReadoutSettings, StageSettings, add_settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from workflow_scripts.data.pairs import Pairs


def add_arguments(
    parser: argparse.ArgumentParser, settings: type[StageSettings] = ReadoutSettings
) -> None:
    """Declare the stage's arguments."""
    add_settings(parser, settings)
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
    """Write one row a pair, in the pairs' order; several ranks share the pairs out.

    Raises:
        UserError: if an input is missing, broken or does not fit the settings.
    """
    from workflow_scripts.data.pairs import read_pairs
    from workflow_scripts.models import margins as readouts

    settings = ReadoutSettings.parsed(args.settings)
    pairs = read_pairs(args.pairs)
    readouts.write(args.output, pairs, {"margin": margins(args, settings, pairs)})


def margins(
    args: argparse.Namespace, settings: ReadoutSettings, pairs: "Pairs"
) -> "NDArray[np.float64]":
    """Return the margins of the model that the arguments name on ``pairs``, ``[pairs]``.

    Raises:
        UserError: as ``run``.
    """
    import torch

    from workflow_scripts.models import margins as readouts

    torch.set_num_threads(args.threads)
    return readouts.margins(
        settings,
        args.model,
        pairs,
        reference=args.reference,
        features=args.features,
        micro_batch=args.micro_batch,
    )
