"""Uncertainty of a figure: a paired bootstrap over groups of test pairs."""

from collections.abc import Hashable, Mapping
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from workflow_scripts.measures.statistic import Array, Sum

Key = TypeVar("Key", bound=Hashable)

CHUNK_ELEMENTS = 2_000_000
"""Most draws held at a time (16 MB an array), whatever the numbers of groups and resamples."""


class Interval(NamedTuple):
    """A percentile interval, or none, and the share of resamples that define the figure."""

    bounds: tuple[float, float] | None
    defined: float


def group_sums(columns: Mapping[Key, Array], groups: npt.NDArray[np.int64]) -> dict[Key, Array]:
    """Return each column's sum over the pairs of each group, shape (groups,).

    Args:
        columns: arrays of shape (pairs,).
        groups: the number of each pair's group, from 0 on without a gap, shape (pairs,).
    """
    matrix = np.column_stack(list(columns.values()))
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    summed = np.add.reduceat(matrix[order], starts, axis=0)
    return dict(zip(columns, summed.T, strict=True))


def resampled_sums(
    columns: Mapping[Key, Array],
    groups: npt.NDArray[np.int64],
    resamples: int,
    generator: np.random.Generator,
) -> dict[Key, Sum]:
    """Return each column's sum over the pairs, over resamples of their groups, and over each group.

    A resample draws as many groups as there are, with replacement, and takes all rows of each:
    pairs of a group and models stay together (Efron and Tibshirani 1993, chapter 13; Davison and
    Hinkley 1997, section 3.8).

    Args:
        columns: arrays of shape (pairs,).
        groups: the number of each pair's group, as `group_sums`, shape (pairs,).
        resamples: number of resamples.
        generator: source of the draws.
    """
    of_groups = group_sums(columns, groups)
    matrix = np.column_stack(list(of_groups.values()))
    number = len(matrix)
    sums = [matrix.sum(axis=0, keepdims=True)]
    chunk = max(1, CHUNK_ELEMENTS // number)
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        draws = generator.integers(number, size=(rows, number))
        draws += np.arange(rows)[:, None] * number
        times_drawn = np.bincount(draws.ravel(), minlength=rows * number).reshape(rows, number)
        sums.append(times_drawn.astype(np.float64) @ matrix)
    values = np.vstack(sums).T
    return {
        name: Sum(of_column, of_groups[name])
        for name, of_column in zip(columns, values, strict=True)
    }


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
