"""Figures of a cell over its seeds, whose uncertainty has two sources that are crossed.

All seeds are measured on the same test pairs. What these move in every seed doesn't show in how
much the seeds differ, and doesn't average out over them.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from workflow_scripts.measures.intervals import Influences, t_interval
from workflow_scripts.report.cells import (
    BLIND,
    EXCESS,
    GROUP,
    LEVEL,
    SCORE,
    SETTINGS,
    CellRow,
    figure_names,
)
from workflow_scripts.report.replication import error_of, influences

Interval = tuple[float | None, float | None, float | None]
"""A mean and both ends of its interval; None where undefined."""

SHARES = ("accuracy_", "deception_score", "length_accuracy")
"""How the names of figures begin that are shares: their intervals end at 0 and 1."""


def crossed_interval(values: Sequence[float], moved: Influences) -> Interval:
    """Return the mean of seeds and the 95 % interval over seeds and groups of pairs.

    Seeds have their t-interval. What groups move in one seed and not in another is part of how much
    seeds differ, so groups have an interval of the rest of what they move in the mean.

    Args:
        values: of each seed, two or more.
        moved: how much each group moves each of them, shape (seeds, groups).
    """
    mean, low, _ = t_interval(values, LEVEL)
    assert mean is not None
    assert low is not None
    seeds, together = len(values), moved.mean(axis=0)
    apart = float(((moved - together) ** 2).sum()) / (seeds * (seeds - 1))
    common = math.sqrt(max(error_of(together) ** 2 - apart, 0.0))
    half = math.hypot(mean - low, _quantile(together) * common)
    return mean, mean - half, mean + half


def _quantile(moved: Influences) -> float:
    """Return the quantile of t for an error over groups, with as many degrees as it is worth.

    Its variance is a mean of squares; where few groups have most of it, it is worth few (the
    moments of Satterthwaite 1946, with the kurtosis of what groups move).
    """
    from scipy.special import stdtrit

    squares = float(moved @ moved)
    if not squares:
        return 0.0
    excess = float((moved**4).sum()) / squares**2 - 1 / np.count_nonzero(moved)
    freedom = 2 / excess if excess > 0 else math.inf
    return float(stdtrit(max(freedom, 1.0), (1 + LEVEL) / 2))


def over_seeds(rows: Sequence[CellRow], figure: str) -> Interval:
    """Return a figure's mean over a cell's seeds and its interval, over seeds and test pairs.

    Of figures but DS, b and the excess it is not known what each group moves: their intervals over
    pairs are taken as what all seeds share. A single seed has no interval.
    """
    found = [row for row in rows if row.get(figure) is not None]
    values = [row[figure] for row in found]
    mean, low, high = t_interval(values, LEVEL)
    if mean is None or low is None:
        return mean, low, high
    if figure in (SCORE, BLIND, EXCESS):
        moved = [of for row in found if (of := influences(row, figure)) is not None]
        if len(moved) == len(found):
            return _within(figure, *crossed_interval(values, np.array(moved)))
    ends = [(row[f"{figure}_low"], row[f"{figure}_high"]) for row in found]
    pairs = fmean([(high - low) / 2 for low, high in ends if low is not None] or [0.0])
    half = math.hypot(mean - low, pairs)
    return _within(figure, mean, mean - half, mean + half)


def _within(figure: str, mean: float | None, low: float | None, high: float | None) -> Interval:
    """Cut an interval where the figure ends: of two seeds t's is wider than that."""
    if low is not None and high is not None and figure.startswith(SHARES):
        return mean, max(low, 0.0), min(high, 1.0)
    return mean, low, high


def aggregate(rows: Iterable[CellRow]) -> Iterator[dict[str, Any]]:
    """Yield one row a cell but for its seed: each figure's mean and 95 % interval.

    `{figure}_seeds` counts the seeds that define the figure; below two there is no interval, and
    the column `interval` says so for a cell with a single seed. p-values are left out, since their
    mean has no meaning.
    """
    for _, group in itertools.groupby(rows, key=lambda row: [row[name] for name in GROUP]):
        seeds = list(group)
        summary: dict[str, Any] = {name: seeds[0][name] for name in (*GROUP, *SETTINGS)}
        summary["seeds"] = len(seeds)
        summary["interval"] = (
            "none: a single seed"
            if len(seeds) == 1
            else f"{LEVEL:.0%} over seeds (t) and groups of test pairs"
        )
        for name in figure_names(seeds[0]):
            mean, low, high = over_seeds(seeds, name)
            summary |= {name: mean, f"{name}_low": low, f"{name}_high": high}
            summary[f"{name}_seeds"] = sum(row.get(name) is not None for row in seeds)
        yield summary
