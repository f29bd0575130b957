"""Uncertainty of a figure: paired bootstrap over test pairs, and an exact permutation test."""

import math
from collections.abc import Hashable, Mapping
from typing import NamedTuple, TypeVar

import numpy as np

from workflow_scripts.measures.statistic import Array

Key = TypeVar("Key", bound=Hashable)

CHUNK_ELEMENTS = 2_000_000
"""Most draws held at a time (16 MB an array), whatever the numbers of pairs and resamples."""


class Interval(NamedTuple):
    """A percentile interval, or none, and the share of resamples that define the figure."""

    bounds: tuple[float, float] | None
    defined: float


def resampled_sums(
    columns: Mapping[Key, Array], resamples: int, generator: np.random.Generator
) -> dict[Key, Array]:
    """Return each column's sum over the pairs and over resamples of them.

    A resample draws as many pairs as there are, with replacement, and takes whole rows: the models
    stay paired (Efron and Tibshirani 1993, chapter 13).

    Args:
        columns: arrays of shape (pairs,).
        resamples: number of resamples.
        generator: source of the draws.

    Returns:
        Arrays of shape (1 + resamples,): entry 0 is the sum over the pairs as they are.
    """
    matrix = np.column_stack(list(columns.values()))
    pairs = len(matrix)
    sums = [matrix.sum(axis=0, keepdims=True)]
    chunk = max(1, CHUNK_ELEMENTS // pairs)
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        draws = generator.integers(pairs, size=(rows, pairs))
        draws += np.arange(rows)[:, None] * pairs
        times_drawn = np.bincount(draws.ravel(), minlength=rows * pairs).reshape(rows, pairs)
        sums.append(times_drawn.astype(np.float64) @ matrix)
    return dict(zip(columns, np.vstack(sums).T, strict=True))


def percentile_interval(resampled: Array, level: float) -> Interval:
    """Return the central ``level`` percentile interval of a figure's resampled values.

    Resamples in which the figure is undefined (NaN) are left out. If they are more than half, there
    is no interval.

    Args:
        resampled: values of shape (resamples,).
        level: coverage, such as 0.95.
    """
    values = resampled[~np.isnan(resampled)]
    defined = len(values) / len(resampled)
    if defined < 0.5:
        return Interval(None, defined)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval((float(low), float(high)), defined)


def permutation_p_value(population: int, marked: int, drawn: int, observed: int) -> float:
    """Return the one-sided p-value of a permutation test on a 2 x 2 table, exactly.

    Of ``population`` items ``marked`` bear a mark and ``drawn`` are drawn, ``observed`` of which
    are marked. Over all permutations of the labels of the drawn items, the number of marked
    items among them is hypergeometric, so no sampling is needed.

    Raises:
        ValueError: if no such table exists.
    """
    most = min(marked, drawn)
    least = max(0, drawn - (population - marked))
    if not least <= observed <= most:
        raise ValueError(f"{observed} of {drawn} drawn, {marked} of {population} marked")
    if observed == least:
        return 1.0
    total = _log_choose(population, drawn)
    tail = math.fsum(
        math.exp(_log_choose(marked, k) + _log_choose(population - marked, drawn - k) - total)
        for k in range(observed, most + 1)
    )
    return min(tail, 1.0)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
