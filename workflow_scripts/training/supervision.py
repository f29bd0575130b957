"""Which pairs a training sees, and who says which response is better."""

from collections.abc import Sequence

import numpy as np

from workflow_scripts.config.stage_settings import TrainSettings
from workflow_scripts.data import pairs as preferences
from workflow_scripts.data.pairs import Pairs
from workflow_scripts.methods.conflicts.conflict import Conflict

_AUTHORS_SCALE = 1 / 50
"""Of summed log-probabilities in the authors' filter for DPO."""


def supervised_pairs(
    settings: TrainSettings,
    conflict: Conflict,
    *,
    pairs: str,
    weak_labels: Sequence[str],
    helpful: str | None,
) -> tuple[Pairs, int]:
    """Return the pairs of an epoch before it is cut, and how many pairs it shows.

    Args:
        settings: of the training.
        conflict: what it is trained under.
        pairs: file of the target goal's pairs.
        weak_labels: files of their labels, which are averaged; none for the true ones.
        helpful: file of the competing goal's pairs, None where there are none.

    Raises:
        UserError: if a file is missing or broken, or labels are missing.
    """
    labelled, others = _labelled(settings, pairs, weak_labels, helpful)
    mixed = conflict.data(labelled, others)
    if conflict.mixes_helpful and settings.data_order != "shuffled_once":
        # So that the first steps, and an epoch in the file's order, see both goals alike.
        mixed = mixed.interleaved(len(labelled))
    if settings.compat.implicit_steps == "reference":
        return mixed, len(mixed)
    return mixed, conflict.pairs_per_epoch(len(labelled), len(mixed))


def _labelled(
    settings: TrainSettings, pairs: str, weak_labels: Sequence[str], helpful: str | None
) -> tuple[Pairs, Pairs | None]:
    """Return the labelled pairs and those of the competing goal.

    A student's filter keeps the pairs that are labelled with confidence, and as many of the
    competing goal's, its first ones; under ``filter_helpful`` those in the same rows.
    """
    labelled = preferences.read_pairs(pairs)
    others = None if helpful is None else preferences.read_pairs(helpful)
    if not weak_labels:
        return labelled, others
    soft = settings.method.soft_labels
    labelled = preferences.with_weak_labels(labelled, weak_labels, soft=soft)
    threshold = None if settings.student is None else settings.student.filter
    if threshold is None:
        return labelled, others
    peek = settings.compat.filter_peek == "reference"
    scale = _AUTHORS_SCALE if settings.compat.filter_scale == "reference" else None
    kept = preferences.confident_rows(labelled, weak_labels, threshold, peek=peek, scale=scale)
    if others is not None:
        in_place = settings.compat.filter_helpful == "reference"
        rows = kept[kept < len(others)] if in_place else np.arange(min(len(kept), len(others)))
        others = others.at(rows)
    return labelled.at(kept), others
