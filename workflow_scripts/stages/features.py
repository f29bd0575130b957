"""Stage ``features``: what a frozen base model makes of each text, once for all linear probes."""

import argparse

from workflow_scripts.config.stage_settings import TextSettings, add_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments."""
    add_settings(parser, TextSettings)
    parser.add_argument("--model", required=True, help="folder of the base model")
    parser.add_argument("--pairs", required=True, help="pairs whose texts are read")
    parser.add_argument("--micro-batch", type=int, required=True, help="pairs in one forward")
    parser.add_argument("--threads", type=int, required=True, help="CPU threads")
    parser.add_argument(
        "--output", required=True, help="table to write: id, and of either text features and tokens"
    )


def run(args: argparse.Namespace) -> None:
    """Write one row a pair, in the pairs' order; features are float32 lists.

    Raises:
        UserError: if an input is missing, broken or does not fit the settings.
    """
    import numpy as np
    import pyarrow as pa
    import torch

    from workflow_scripts.data.pairs import read_pairs
    from workflow_scripts.methods.scenarios.reward_model import RewardModel
    from workflow_scripts.models import checkpoints, frozen_features, margins
    from workflow_scripts.models.scorer import low_precision

    torch.set_num_threads(args.threads)
    settings = TextSettings.parsed(args.settings)
    compat = settings.compat
    readout = RewardModel.readout(compat)
    pairs = read_pairs(args.pairs)
    max_length = settings.max_length
    sequences = margins.tokenised(args.model, pairs, compat, max_length)
    model = checkpoints.load_base(args.model, readout)
    checkpoints.check_positions(model, sequences)
    backbone = frozen_features.Backbone(model, readout, low_precision=low_precision(compat))
    values = margins.in_batches(backbone, sequences, 2 * args.micro_batch * max_length)
    margins.check_finite(values, pairs.ids, args.model)
    columns = {}
    sides = zip(
        frozen_features.SIDES, np.split(values, 2), np.split(sequences.lengths, 2), strict=True
    )
    for side, of_side, lengths in sides:
        flat = pa.array(of_side.astype(np.float32).ravel())
        columns[side] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
        columns[f"{side}_tokens"] = lengths.astype(np.int32)
    margins.write(args.output, pairs, columns)
