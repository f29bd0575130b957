"""Intervals by formula: of shares, of one share against another, and of a mean of few values.

They are used where percentiles of a bootstrap fail. A resample of five taxed pairs that are all
deceptive has all deceptive again: the percentile interval is the single point 1 and covers nothing.
docs/calibration.md has the measurements.

Two shares are compared by the method of variance estimates recovery (MOVER; Zou and Donner 2008,
Donner and Zou 2012): how far a share is from an end of its own interval stands for its error
on that side.
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import NamedTuple

Bounds = tuple[float, float]
IntervalAt = Callable[[float], Bounds]
"""From a level such as 0.95 to the ends of an interval."""


class Proportion(NamedTuple):
    """Of some pairs, the part that bears a mark.

    Attributes:
        number: how many bear it; may be fractional, a tie being half.
        of: among how many; with none, the share has an interval but no value.
    """

    number: float
    of: float

    @property
    def value(self) -> float:
        """The share itself."""
        return self.number / self.of

    @property
    def variance(self) -> float:
        """The variance of one pair's mark."""
        return max(self.value * (1 - self.value), 0.0) if self.of > 0 else 0.0

    def interval(self, level: float) -> Bounds:
        """Return the score interval (Wilson 1927)."""
        if self.of <= 0:
            return 0.0, 1.0
        z = NormalDist().inv_cdf((1 + level) / 2)
        weight = z**2 / self.of
        centre = (self.value + weight / 2) / (1 + weight)
        half = z * math.sqrt(self.variance / self.of + weight / (4 * self.of)) / (1 + weight)
        # Rounding must not push an end past the share itself.
        return (
            min(max(centre - half, 0.0), self.value),
            max(min(centre + half, 1.0), self.value),
        )

    def count_interval(self, level: float) -> Bounds:
        """Return the interval of the number of marks, were as many pairs drawn again."""
        low, high = self.interval(level)
        return self.of * low, self.of * high


def correlation_with_whole(part: Proportion, whole: Proportion) -> float:
    """Return how a part's share correlates with that of the whole that holds the part.

    Over draws in which the size of the part varies too, their covariance is the variance of a mark
    in the part over the size of the whole.
    """
    spread = whole.of * whole.variance
    return math.sqrt(min(part.of * part.variance / spread, 1.0)) if spread else 0.0


def correlation_of_exclusive(first: Proportion, second: Proportion) -> float:
    """Return how the shares of two marks correlate of which no pair bears both."""
    others = (first.of - first.number) * (second.of - second.number)
    return -math.sqrt(first.number * second.number / others) if others else 0.0


def difference(first: Proportion, second: Proportion, correlation: float) -> IntervalAt:
    """Return the interval of ``first`` less ``second``.

    For independent shares, and for marks of the same pairs, it is Newcombe's square-and-add
    interval (1998, Statistics in Medicine 17, 873-890 and 2635-2650).
    """

    def at(level: float) -> Bounds:
        below, above = _errors(first, level)
        other_below, other_above = _errors(second, level)
        value = first.value - second.value
        return (
            max(value - _joint(below, other_above, correlation), -1.0),
            min(value + _joint(above, other_below, correlation), 1.0),
        )

    return at


def quotient(first: Proportion, second: Proportion, correlation: float) -> IntervalAt:
    """Return the interval of ``first`` over ``second``, which is above 0.

    An end q is where the interval of ``first`` less q times ``second`` ends at 0: a root of
    b q^2 - 2 h q + a. The smaller one is written so that it holds for b of either sign.
    """

    def at(level: float) -> Bounds:
        below, above = _errors(first, level)
        other_below, other_above = _errors(second, level)
        product = first.value * second.value
        a, b = first.value**2 - below**2, second.value**2 - other_above**2
        h = product - correlation * below * other_above
        low = a / (h + math.sqrt(max(h**2 - a * b, 0.0))) if a > 0 else 0.0
        a, b = first.value**2 - above**2, second.value**2 - other_below**2
        h = product - correlation * above * other_below
        return low, (h + math.sqrt(max(h**2 - a * b, 0.0))) / b

    return at


def t_interval(
    values: Sequence[float], level: float = 0.95
) -> tuple[float | None, float | None, float | None]:
    """Return the mean of independent values and both ends of its t-interval; None where undefined.

    Args:
        values: independent measurements of one quantity.
        level: coverage, such as 0.95.
    """
    if not values:
        return None, None, None
    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return mean, None, None
    from scipy.special import stdtrit

    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half = float(stdtrit(count - 1, (1 + level) / 2)) * math.sqrt(variance / count)
    return mean, mean - half, mean + half


def _errors(share: Proportion, level: float) -> Bounds:
    """Return how far a share is from either end of its interval."""
    low, high = share.interval(level)
    return share.value - low, high - share.value


def _joint(error: float, other: float, correlation: float) -> float:
    """Return the error of a difference."""
    return math.sqrt(max(error**2 + other**2 - 2 * correlation * error * other, 0.0))
