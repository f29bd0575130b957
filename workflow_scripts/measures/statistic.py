"""A figure of the test set together with its values on resamples of it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workflow_scripts.measures.intervals import IntervalAt, Proportion

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Statistic:
    """A figure on the test set (entry 0) and on its resamples; NaN where undefined.

    Attributes:
        values: shape (1 + resamples,).
        undefined: why entry 0 is NaN, if it is; empty for a figure that always exists.
        interval: the figure's interval where a formula beats the resamples; otherwise None.
    """

    values: Array
    undefined: str = ""
    interval: IntervalAt | None = None


def share(numerator: Array, denominator: Array, undefined: str = "") -> Statistic:
    """Divide a part of some pairs by all of them, as `ratio` does, with the interval of a share.

    Args:
        numerator: number of pairs in the part, shape (1 + resamples,).
        denominator: number of all of them, shape (1 + resamples,).
        undefined: why the share is undefined where there are none.
    """
    values = ratio(numerator, denominator, undefined).values
    return Statistic(values, undefined, proportion(numerator, denominator).interval)


def count(number: Array, pairs: Array) -> Statistic:
    """Count some of the pairs, with the interval that follows from their share of all pairs.

    Args:
        number: how many they are, shape (1 + resamples,).
        pairs: how many all pairs are, shape (1 + resamples,).
    """
    return Statistic(number, interval=proportion(number, pairs).count_interval)


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


def proportion(numerator: Array, denominator: Array) -> Proportion:
    """Return a share of the test set itself, from sums of shape (1 + resamples,)."""
    return Proportion(float(numerator[0]), float(denominator[0]))
