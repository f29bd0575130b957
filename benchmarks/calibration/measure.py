"""Bias, coverage and level of a cell's figures under planted truth, by the probe's own code."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.calibration.planted import THRESHOLD, Truth, draw_three_models
from workflow_scripts.measures.deception import (
    Deception,
    Outcomes,
    correctness,
    deception,
    generalization,
    knowledge_columns,
    model_columns,
)
from workflow_scripts.measures.excess import Nulls, excess, nulls, whole_tallies
from workflow_scripts.measures.intervals import Bounds
from workflow_scripts.measures.nulls import Tally, p_values
from workflow_scripts.measures.resampling import percentile_interval, resampled_sums
from workflow_scripts.report.cells import LEAST_EFFECTIVE

LEVEL = 0.95
RESAMPLES = 1000
PERMUTATIONS = 100
TESTS = ("blind", "stratified", "placebo", "claim 1")
"""The tests of a cell; that of claim 1 is the larger p of the two before it."""
Estimate = tuple[float, Bounds]


class Coverage(NamedTuple):
    """How a figure fares over draws of one truth.

    Attributes:
        bias: mean of the estimates less the truth.
        error: standard error of that mean.
        covered: share of the intervals that hold the truth, of those that are told.
    """

    bias: float
    error: float
    covered: float


class Covered(NamedTuple):
    """How a truth's figures fare.

    Attributes:
        told: share of the draws with enough taxed pairs for the page to tell intervals.
        figures: by name; without those that no draw defines.
        untaxed: figures that need no tax, and so are told of every draw.
    """

    told: float
    figures: dict[str, Coverage]
    untaxed: tuple[str, ...] = ()


def coverage(planted: Truth, draws: int, generator: np.random.Generator) -> Covered:
    """Return how each figure of a truth that has a formula fares over independent draws."""
    told: list[bool] = []
    estimates: dict[str, list[tuple[bool, Estimate]]] = {}
    for _ in range(draws):
        outcomes, compared = _drawn(planted, generator)
        sums = resampled_sums(
            model_columns(outcomes) | knowledge_columns(outcomes, THRESHOLD),
            planted.groups,
            0,
            generator,
        )
        at = deception(sums)
        told.append(is_told(at.tally))
        statistics = {
            "DS": at.score,
            "DS_S": at.score_strong_known,
            "excess": at.excess_difference,
            "ratio": at.excess_ratio,
            "tax rate": (of_models := generalization(sums))["conflict_tax"]["rate"],
            "accuracy": of_models["accuracy"]["weak_to_strong"],
            "accuracy drop": of_models["conflict_tax"]["accuracy_drop"],
        }
        found = {
            name: (float(one.values[0]), one.interval(LEVEL))
            for name, one in statistics.items()
            if one.interval is not None and not np.isnan(one.values[0])
        }
        for name, estimate in (found | _against_nulls(at, compared)).items():
            estimates.setdefault(name, []).append((told[-1], estimate))
    truths = planted.figures
    return Covered(
        float(np.mean(told)), {name: summed(of, truths[name]) for name, of in estimates.items()}
    )


def bootstrapped(planted: Truth, draws: int, generator: np.random.Generator) -> dict[str, Coverage]:
    """Return how the figures fare whose interval has no formula."""
    estimates: dict[str, list[tuple[bool, Estimate]]] = {}
    for _ in range(draws):
        outcomes = planted.outcomes(generator)
        sums = resampled_sums(model_columns(outcomes), planted.groups, RESAMPLES, generator)
        found = generalization(sums)
        for name, one in (
            ("gap recovered", found["performance_gap_recovered"]["weak_to_strong"]),
            ("variance", found["confidence_variance"]["weak"]),
        ):
            bounds = percentile_interval(one.values[1:], LEVEL).bounds
            if bounds is not None and not np.isnan(one.values[0]):
                estimates.setdefault(name, []).append((True, (float(one.values[0]), bounds)))
    truths = planted.figures
    return {name: summed(of, truths[name]) for name, of in estimates.items()}


def rejections(
    planted: Truth, draws: int, generator: np.random.Generator
) -> tuple[float, list[float]]:
    """Return the share of draws whose intervals are told, and how often each of `TESTS` rejects.

    Untold draws count, as in the tables of a run; a draw without a tax rejects nothing.
    """
    told, found = [], []
    for _ in range(draws):
        outcomes, compared = _drawn(planted, generator)
        (tally,) = whole_tallies(outcomes, [THRESHOLD], planted.groups)
        placebo = compared.placebo_p_value(tally, THRESHOLD)
        if placebo is None:
            told.append(False)
            found.append([1.0] * len(TESTS))
            continue
        blind, stratified = (
            p_values([tally], stratum, PERMUTATIONS, generator)[0]
            for stratum in (np.zeros_like(compared.stratum), compared.stratum)
        )
        told.append(is_told(tally))
        found.append([blind, stratified, placebo, max(stratified, placebo)])
    return float(np.mean(told)), [float(rate) for rate in (np.array(found) < 0.05).mean(axis=0)]


def is_told(tally: Tally) -> bool:
    """Return whether there are enough taxed pairs for the page to tell intervals."""
    return bool(tally.taxed.any()) and (tally.score.effective or 0.0) >= LEAST_EFFECTIVE


def _drawn(planted: Truth, generator: np.random.Generator) -> tuple[Outcomes, Nulls]:
    margins = planted.draw(generator)
    outcomes = Outcomes.of(margins, None)
    placebo = correctness(margins["placebo"])
    longer = np.zeros(planted.pairs)
    return outcomes, nulls(outcomes, planted.groups, longer, placebo, [THRESHOLD])


def _against_nulls(at: Deception, compared: Nulls) -> dict[str, Estimate]:
    """Return the excess over the stratified null, and how far it is beyond the placebo's."""
    found = {
        "stratified": excess(at.tally, compared.stratum),
        "placebo": compared.beyond_placebo(at.tally, THRESHOLD) if at.tally.taxed.any() else None,
    }
    return {
        name: (one.value, one.interval(LEVEL)) for name, one in found.items() if one is not None
    }


def summed(estimates: Sequence[tuple[bool, Estimate]], truth: float) -> Coverage:
    """Return how a figure fares, from whether each estimate's interval is told, and itself."""
    values = np.array([value for _, (value, _) in estimates])
    held = [_holds(bounds, truth) for told, (_, bounds) in estimates if told]
    return Coverage(
        float(values.mean() - truth),
        float(values.std(ddof=1) / np.sqrt(len(values))),
        float(np.mean(held)) if held else float("nan"),
    )


def _holds(bounds: Iterable[float], truth: float) -> bool:
    low, high = bounds
    return low - 1e-9 <= truth <= high + 1e-9


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
