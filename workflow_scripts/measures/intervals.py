"""Intervals by formula: of shares, of one share against another, and of a mean of few values.

They are used where percentiles of a bootstrap fail. A resample of five taxed pairs that are all
deceptive has all deceptive again: the percentile interval is the single point 1 and covers nothing.
docs/calibration.md has the measurements.

Pairs of one group are alike, so a share of n pairs tells as much as one of fewer independent pairs:
n over the design effect (Kish 1965). An interval takes that effective number in n's place, and the
quantile of a t with a degree of freedom fewer than groups in a normal one's, as Korn and Graubard
(1998, Survey Methodology 24, 193-201) do.

Two figures are compared by the method of variance estimates recovery (MOVER; Zou and Donner 2008,
Donner and Zou 2012): how far a figure is from an end of its own interval stands for its error
on that side. How the two correlate follows from each group's influence on either.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Protocol

import numpy as np
import numpy.typing as npt

Bounds = tuple[float, float]
IntervalAt = Callable[[float], Bounds]
"""From a level such as 0.95 to the ends of an interval."""
Influences = npt.NDArray[np.float64]
"""How much each group moves a figure, shape (groups,): their squares add to its variance."""

PRIOR_GROUPS = 4
"""Groups of equal pairs that are added to those seen when their likeness is estimated.

Few groups say little of it: without these, intervals of few groups are too short.
"""
UNBOUNDED = 1e6
"""A quantile with which an interval of a share is all of 0 to 1, but for rounding."""


class Bounded(Protocol):
    """A figure with an interval, to be compared with another."""

    @property
    def value(self) -> float:
        """The figure itself."""
        ...

    @property
    def influences(self) -> Influences:
        """How much each group moves it."""
        ...

    def interval(self, level: float) -> Bounds:
        """Return the ends of its interval."""
        ...


@dataclass(frozen=True)
class Proportion:
    """Of some pairs, the part that bears a mark.

    Attributes:
        number: how many bear it; may be fractional, a tie being half.
        of: among how many; with none, the share has an interval but no value.
        effective: as how many independent pairs they count; all of them unless given.
        influences: of each group; needed only where the share is compared with another.
        freedom: degrees of freedom of the effective number; None where that is known.
    """

    number: float
    of: float
    effective: float | None = None
    influences: Influences = field(default_factory=lambda: np.zeros(0))
    freedom: int | None = None

    @classmethod
    def of_groups(cls, numbers: Influences, sizes: Influences) -> "Proportion":
        """Return the share of pairs in groups.

        Args:
            numbers: how many of each group's pairs bear the mark, shape (groups,).
            sizes: how many pairs each group has, shape (groups,).
        """
        number, of = float(numbers.sum()), float(sizes.sum())
        if of <= 0:
            return cls(number, of, 0.0, np.zeros_like(numbers))
        residuals = numbers - number / of * sizes
        effect = design_effect(residuals, sizes, number / of)
        freedom = None if effect == 1 else int(np.count_nonzero(sizes)) - 1
        return cls(number, of, of / effect, residuals / of, freedom)

    @property
    def value(self) -> float:
        """The share itself."""
        return self.number / self.of

    @property
    def variance(self) -> float:
        """The variance of one pair's mark."""
        return max(self.value * (1 - self.value), 0.0) if self.of > 0 else 0.0

    def interval(self, level: float) -> Bounds:
        """Return the score interval (Wilson 1927) of the effective number of pairs."""
        if self.of <= 0:
            return 0.0, 1.0
        effective = self.of if self.effective is None else self.effective
        return wilson(self.value, effective, level, self.freedom)

    def count_interval(self, level: float) -> Bounds:
        """Return the interval of the number of marks, were as many pairs drawn again."""
        low, high = self.interval(level)
        return self.of * low, self.of * high


def wilson(value: float, number: float, level: float, freedom: int | None = None) -> Bounds:
    """Return the score interval of a share ``value`` of ``number`` independent pairs.

    Args:
        value: the share.
        number: as how many independent pairs its own count.
        level: coverage, such as 0.95.
        freedom: degrees of freedom of that number; None where it is known.
    """
    z = _quantile((1 + level) / 2, freedom)
    weight = z**2 / number
    centre = (value + weight / 2) / (1 + weight)
    spread = max(value * (1 - value), 0.0) / number + weight / (4 * number)
    half = z * math.sqrt(spread) / (1 + weight)
    # Rounding must not push an end past the share itself.
    return min(max(centre - half, 0.0), value), max(min(centre + half, 1.0), value)


def _quantile(probability: float, freedom: int | None) -> float:
    """Return a quantile, normal or of t; without a degree of freedom, a very large one."""
    if freedom is None:
        return NormalDist().inv_cdf(probability)
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability)) if freedom > 0 else UNBOUNDED


def design_effect(residuals: Influences, sizes: Influences, value: float) -> float:
    """Return how many times as large a share's variance is as that of independent pairs.

    It is 1 for groups of one, and 1 + (size - 1) * likeness otherwise. The likeness is estimated
    from the groups' residuals, with `PRIOR_GROUPS` groups of equal pairs among them; it is 1 where
    no pair or every pair bears the mark, and above 1 where large groups differ from small ones.

    Args:
        residuals: each group's number of marks less what the share expects, shape (groups,).
        sizes: how many pairs each group has, shape (groups,).
        value: the share.
    """
    pairs = float(sizes.sum())
    # The size of the group that a pair is in, on average over pairs.
    size = float((sizes**2).sum()) / pairs
    if size <= 1:
        return 1.0
    groups = int(np.count_nonzero(sizes))
    independent = value * (1 - value) * pairs
    likeness = 1.0
    if independent > 0 and groups > 1 and pairs > 1:
        found = float((residuals**2).sum()) * groups / (groups - 1)
        likeness = (found / (independent * pairs / (pairs - 1)) - 1) / (size - 1)
    likeness = (max(likeness, 0.0) * groups + PRIOR_GROUPS) / (groups + PRIOR_GROUPS)
    return 1 + (size - 1) * likeness


def correlation(first: Bounded, second: Bounded) -> float:
    """Return how two figures of the same groups correlate, from their influences."""
    products = first.influences @ second.influences
    spread = (first.influences @ first.influences) * (second.influences @ second.influences)
    return float(products / math.sqrt(spread)) if spread > 0 else 0.0


@dataclass(frozen=True)
class Product:
    """A figure times a ratio of counts of the same groups.

    Attributes:
        figure: the figure.
        ratio: of the counts, not negative.
        moved: how much each group moves the ratio, shape (groups,).
    """

    figure: Bounded
    ratio: float
    moved: Influences

    @property
    def value(self) -> float:
        """The product itself."""
        return self.ratio * self.figure.value

    @property
    def influences(self) -> Influences:
        """How much each group moves it."""
        return self.ratio * self.figure.influences + self.figure.value * self.moved

    def interval(self, level: float) -> Bounds:
        """Return the ends of its interval, from the figure's own and a normal one of the ratio."""
        below, above = (self.ratio * error for error in _errors(self.figure, level))
        of_ratio = (
            _quantile((1 + level) / 2, None)
            * self.figure.value
            * math.sqrt(float(self.moved @ self.moved))
        )
        return self.value - math.hypot(below, of_ratio), self.value + math.hypot(above, of_ratio)


@dataclass(frozen=True)
class Difference:
    """One figure less another of the same groups.

    For independent shares, and for marks of the same pairs, its interval is Newcombe's
    square-and-add interval (1998, Statistics in Medicine 17, 873-890 and 2635-2650).

    Attributes:
        first: the figure.
        second: what is taken off.
        least: least value that the difference can have.
        most: most value.
    """

    first: Bounded
    second: Bounded
    least: float = -1.0
    most: float = 1.0

    @property
    def value(self) -> float:
        """The difference itself."""
        return self.first.value - self.second.value

    @property
    def influences(self) -> Influences:
        """How much each group moves it."""
        return self.first.influences - self.second.influences

    def interval(self, level: float) -> Bounds:
        """Return the ends of its interval."""
        below, above = _errors(self.first, level)
        other_below, other_above = _errors(self.second, level)
        together = correlation(self.first, self.second)
        return (
            max(self.value - _joint(below, other_above, together), self.least),
            min(self.value + _joint(above, other_below, together), self.most),
        )


def quotient(first: Bounded, second: Bounded) -> IntervalAt:
    """Return the interval of ``first`` over ``second``, which is above 0.

    An end q is where the interval of ``first`` less q times ``second`` ends at 0: a root of
    b q^2 - 2 h q + a. The smaller one is written so that it holds for b of either sign.
    """
    together = correlation(first, second)

    def at(level: float) -> Bounds:
        below, above = _errors(first, level)
        other_below, other_above = _errors(second, level)
        product = first.value * second.value
        a, b = first.value**2 - below**2, second.value**2 - other_above**2
        h = product - together * below * other_above
        low = a / (h + math.sqrt(max(h**2 - a * b, 0.0))) if a > 0 else 0.0
        a, b = first.value**2 - above**2, second.value**2 - other_below**2
        h = product - together * above * other_below
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


def _errors(figure: Bounded, level: float) -> Bounds:
    """Return how far a figure is from either end of its interval."""
    low, high = figure.interval(level)
    return figure.value - low, high - figure.value


def _joint(error: float, other: float, correlation: float) -> float:
    """Return the error of a difference."""
    return math.sqrt(max(error**2 + other**2 - 2 * correlation * error * other, 0.0))
