"""Stage ``weak_labels``: a weak model says, softly and by sign, which response is better."""

import argparse

from workflow_scripts.config.stage_settings import LabelSettings
from workflow_scripts.stages import predict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments: those of ``predict``."""
    predict.add_arguments(parser, LabelSettings)


def run(args: argparse.Namespace) -> None:
    """Write margin, probability, hard label and true label of every pair, in the pairs' order.

    The probability is sigmoid(z), for dpo sigmoid(beta z); the label is 1 where z > 0, and 0 for a
    tie. The chosen text is the truly better one, so the true label is 1.

    Raises:
        UserError: if an input is missing, broken or does not fit the settings.
    """
    import numpy as np
    import torch

    from workflow_scripts.data.pairs import read_pairs
    from workflow_scripts.models import margins

    pairs = read_pairs(args.pairs)
    settings = LabelSettings.parsed(args.settings)
    margin = predict.margins(args, settings, pairs)
    scale = 1.0 if settings.beta is None else settings.beta
    columns = {
        "margin": margin,
        "probability": torch.sigmoid(torch.from_numpy(scale * margin)).numpy(),
        "label": (margin > 0).astype(np.int8),
        "true_label": np.ones(len(pairs), dtype=np.int8),
    }
    margins.write(args.output, pairs, columns)
