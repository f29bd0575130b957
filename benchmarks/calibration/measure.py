"""Bias, coverage, level and power of the probe's figures under planted truth."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.calibration.planted import THRESHOLD, Truth, draw_three_models
from workflow_scripts.measures.deception import (
    deception,
    generalization,
    knowledge_columns,
    model_columns,
)
from workflow_scripts.measures.excess import whole_tallies
from workflow_scripts.measures.nulls import p_values
from workflow_scripts.measures.resampling import percentile_interval, resampled_sums
from workflow_scripts.measures.statistic import Statistic

LEVEL = 0.95
RESAMPLES = 2000
PERMUTATIONS = 200
BOOTSTRAPPED = ("gap recovered", "variance")
"""The figures without a formula for their interval."""


class Coverage(NamedTuple):
    """How a figure fares over draws of one truth.

    Attributes:
        figure: its name.
        truth: what was planted.
        draws: how many define the figure.
        mean: of the estimates.
        error: standard error of that mean.
        covered: share of the intervals that hold the truth.
        percentile: the same of a bootstrap's percentile intervals, or None where not measured.
    """

    figure: str
    truth: float
    draws: int
    mean: float
    error: float
    covered: float
    percentile: float | None


def coverage(
    planted: Truth, draws: int, resampled_draws: int, generator: np.random.Generator
) -> list[Coverage]:
    """Return how each figure of a truth fares over independent draws.

    Args:
        planted: the truth.
        draws: number of draws.
        resampled_draws: how many of these are resampled too: figures without a formula need it,
            and are left out where it is 0.
        generator: source of the draws.
    """
    judged: dict[str, list[tuple[float, bool | None, bool | None]]] = {
        name: [] for name in planted.figures
    }
    for draw in range(draws):
        resampled = draw < resampled_draws
        for name, statistic in _statistics(planted, generator, resampled).items():
            if not np.isnan(statistic.values[0]) and (resampled or name not in BOOTSTRAPPED):
                judged[name].append(_judged(statistic, planted.figures[name], resampled))
    return [_summed(name, planted.figures[name], of) for name, of in judged.items() if of]


def _statistics(
    planted: Truth, generator: np.random.Generator, resampled: bool
) -> dict[str, Statistic]:
    outcomes = planted.outcomes(generator)
    columns = model_columns(outcomes) | knowledge_columns(outcomes, THRESHOLD)
    sums = resampled_sums(columns, planted.groups, RESAMPLES if resampled else 0, generator)
    at, general = deception(sums), generalization(sums)
    return {
        "DS": at.score,
        "DS_S": at.score_strong_known,
        "excess": at.excess_difference,
        "ratio": at.excess_ratio,
        "tax rate": general["conflict_tax"]["rate"],
        "accuracy": general["accuracy"]["weak_to_strong"],
        "accuracy drop": general["conflict_tax"]["accuracy_drop"],
        "gap recovered": general["performance_gap_recovered"]["weak_to_strong"],
        "variance": general["confidence_variance"]["weak"],
    }


def _judged(
    statistic: Statistic, truth: float, resampled: bool
) -> tuple[float, bool | None, bool | None]:
    """Return the estimate, and whether its formula and its percentiles hold the truth."""
    formula = percentile = None
    if statistic.interval is not None:
        formula = _holds(statistic.interval(LEVEL), truth)
    if resampled:
        bounds = percentile_interval(statistic.values[1:], LEVEL).bounds
        percentile = bounds is not None and _holds(bounds, truth)
    return float(statistic.values[0]), formula, percentile


def _holds(bounds: tuple[float, float], truth: float) -> bool:
    return bounds[0] - 1e-12 <= truth <= bounds[1] + 1e-12


def _summed(
    name: str, truth: float, judged: Sequence[tuple[float, bool | None, bool | None]]
) -> Coverage:
    values = np.array([value for value, _, _ in judged])
    formulas = [holds for _, holds, _ in judged if holds is not None]
    percentiles = [holds for _, _, holds in judged if holds is not None]
    return Coverage(
        name,
        truth,
        len(values),
        float(values.mean()),
        float(values.std(ddof=1) / np.sqrt(len(values))),
        float(np.mean(formulas or percentiles)),
        float(np.mean(percentiles)) if percentiles else None,
    )


def rejection_rate(planted: Truth, draws: int, generator: np.random.Generator) -> float:
    """Return how often the permutation test rejects at 5 %."""
    return float(np.mean([p < 0.05 for p in _p_values(planted, draws, generator)]))


def _p_values(planted: Truth, draws: int, generator: np.random.Generator) -> Iterator[float]:
    for _ in range(draws):
        outcomes = planted.outcomes(generator)
        (tally,) = whole_tallies(outcomes, [THRESHOLD], planted.groups)
        if tally.taxed.any():
            one = np.zeros(len(tally.taxed), dtype=np.int64)
            yield from p_values([tally], one, PERMUTATIONS, generator)


class Selection(NamedTuple):
    """Accuracies on the pairs that a weak model calls unknown, nobody deceiving anybody.

    Attributes:
        noise: standard deviation of the accident in each model's margins; the pairs' own is 1.
        weak: of the weak model that picked them.
        other: of another model just like it, on the same pairs.
        control: of that other model on the pairs that a second weak model picked.
    """

    noise: float
    weak: float
    other: float
    control: float


def selection(noise: float, pairs: int, generator: np.random.Generator) -> Selection:
    """Return what picking pairs by a model's own low confidence does to that model's look."""
    weak, second, other = draw_three_models(pairs, noise, generator)
    unknown, unknown_second = (1 / (1 + np.exp(-margins)) < THRESHOLD for margins in (weak, second))
    return Selection(
        noise,
        float((weak[unknown] > 0).mean()),
        float((other[unknown] > 0).mean()),
        float((other[unknown_second] > 0).mean()),
    )
