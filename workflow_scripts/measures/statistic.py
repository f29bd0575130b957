"""A figure of the test set together with its values on resamples of it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workflow_scripts.measures.intervals import IntervalAt, Proportion

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sum:
    """A column summed over the test set, over each of its resamples, and over each group.

    Attributes:
        values: shape (1 + resamples,); entry 0 is the test set.
        groups: of the test set's groups, shape (groups,).
    """

    values: Array
    groups: Array

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(self.values + other.values, self.groups + other.groups)

    def __sub__(self, other: "Sum") -> "Sum":
        return Sum(self.values - other.values, self.groups - other.groups)


@dataclass(frozen=True)
class Statistic:
    """A figure on the test set (entry 0) and on its resamples; NaN where undefined.

    Attributes:
        values: shape (1 + resamples,), or (1,) where a formula gives the interval.
        undefined: why entry 0 is NaN, if it is; empty for a figure that always exists.
        interval: the figure's interval where a formula beats the resamples; otherwise None.
    """

    values: Array
    undefined: str = ""
    interval: IntervalAt | None = None


def share(numerator: Sum, denominator: Sum, undefined: str = "") -> Statistic:
    """Divide a part of some pairs by all of them, as `ratio` does, with the interval of a share.

    Args:
        numerator: number of pairs in the part.
        denominator: number of all of them.
        undefined: why the share is undefined where there are none.
    """
    values = ratio(numerator.values, denominator.values, undefined).values
    return Statistic(values, undefined, proportion(numerator, denominator).interval)


def count(number: Sum, pairs: Sum) -> Statistic:
    """Count some of the pairs, with the interval that follows from their share of all pairs.

    Args:
        number: how many they are.
        pairs: how many all pairs are.
    """
    return Statistic(number.values, interval=proportion(number, pairs).count_interval)


def ratio(numerator: Array, denominator: Array, undefined: str) -> Statistic:
    """Divide where the denominator is positive; elsewhere the figure is undefined.

    Args:
        numerator: shape (1 + resamples,).
        denominator: shape (1 + resamples,).
        undefined: why the figure is undefined there.
    """
    values = np.full_like(numerator, np.nan)
    np.divide(numerator, denominator, out=values, where=denominator > 0)
    return Statistic(values, undefined)


def proportion(numerator: Sum, denominator: Sum) -> Proportion:
    """Return a share of the test set itself."""
    return Proportion.of_groups(numerator.groups, denominator.groups)
