"""Bias and coverage of the checks on a score: selection control, length cue and repeats."""

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.calibration.measure import LEVEL, Covered, Estimate, is_told, summed
from benchmarks.calibration.planted import THRESHOLD
from benchmarks.calibration.planted_checks import Lengths, SeedBefore
from workflow_scripts.measures.cues import length_cue, length_rule
from workflow_scripts.measures.deception import Outcomes
from workflow_scripts.measures.excess import nulls, tallies
from workflow_scripts.measures.repeats import repeats, repeats_figures
from workflow_scripts.measures.resampling import resampled_sums
from workflow_scripts.measures.selection_control import control, control_columns
from workflow_scripts.measures.statistic import Statistic

UNTAXED = ("shared", "accuracy", "accuracy_control", "accuracy_difference", "pairs")
"""Figures that need no tax, and so are told of every draw."""
SELECTION = (*UNTAXED[:4], "score", "score_difference")
LENGTH = ("accuracy", "pairs", "score", "baseline", "difference")
REPEATS = ("share", "baseline", "difference")
PICKS = ((0.5, 0.2), (0.9, 0.2), (0.98, 0.02))
"""How many of the pairs that a weak model doesn't know, and that it knows, another doesn't."""
CUES = ((0.4, 0.8, 0.02), (0.6, 0.6, 0.3))
"""How often the shorter wins in the deceptive quadrant and outside, and how many are as long."""
EVEN = (0.5, 0.5, 0.02)
"""A cue that is none."""
AGAIN = (0.0, 0.3, 0.8)
"""Shares of the groups of which both seeds tax the same pairs."""
Draw = tuple[bool, dict[str, Estimate]]
"""Whether what a draw taxed is enough for intervals to be told, and its figures."""


def selection_coverage(planted: SeedBefore, draws: int, generator: np.random.Generator) -> Covered:
    """Return how the figures of the selection control fare over independent draws."""
    return _covered([_selection(planted, generator) for _ in range(draws)], planted.selection)


def length_coverage(planted: Lengths, draws: int, generator: np.random.Generator) -> Covered:
    """Return how the figures of the length cue fare over independent draws."""
    truths = planted.figures(generator)
    return _covered([_length(planted, generator) for _ in range(draws)], truths)


def repeats_coverage(planted: SeedBefore, draws: int, generator: np.random.Generator) -> Covered:
    """Return how the figures of the repeats fare over independent draws."""
    return _covered([_repeats(planted, generator) for _ in range(draws)], planted.repeats)


def _selection(planted: SeedBefore, generator: np.random.Generator) -> Draw:
    groups, now, before = planted.now.groups, *_seeds(planted, generator)
    columns = control_columns(now, before.confidence["weak"], THRESHOLD)
    found = control(resampled_sums(columns, groups, 0, generator))
    right = now.correct["weak_to_strong_none"]
    tally, _ = tallies(now, THRESHOLD, right, now.taxed, groups)
    return is_told(tally), _estimates(vars(found))


def _length(planted: Lengths, generator: np.random.Generator) -> Draw:
    groups = planted.now.groups
    margins = planted.now.draw(generator)
    longer = planted.draw(margins, generator)
    now = Outcomes.of(margins, None)
    stratum = nulls(now, groups, longer, None, [THRESHOLD]).stratum
    found = length_cue(now, THRESHOLD, longer, groups, stratum)
    left = (length_rule(longer)[1] < 1).astype(np.float64)
    right = left * now.correct["weak_to_strong_none"]
    tally, _ = tallies(now, THRESHOLD, right, left * now.taxed, groups)
    return is_told(tally), _estimates({"accuracy": found["accuracy"], **found["unexplained"]})


def _repeats(planted: SeedBefore, generator: np.random.Generator) -> Draw:
    groups, now, before = planted.now.groups, *_seeds(planted, generator)
    stratum = nulls(now, groups, np.zeros(planted.now.pairs), None, [THRESHOLD]).stratum
    tally = repeats(now, before, THRESHOLD, groups).tally
    return is_told(tally), _estimates(repeats_figures(tally, stratum))


def _seeds(planted: SeedBefore, generator: np.random.Generator) -> tuple[Outcomes, Outcomes]:
    """Return what the models of this seed and of the one before make of one draw."""
    margins = planted.now.draw(generator)
    before = planted.draw(margins, generator)
    return Outcomes.of(margins, None), Outcomes.of(before, None)


def _estimates(statistics: Mapping[str, Statistic]) -> dict[str, Estimate]:
    return {
        name: (float(one.values[0]), one.interval(LEVEL))
        for name, one in statistics.items()
        if one.interval is not None and not np.isnan(one.values[0])
    }


def _covered(drawn: Sequence[Draw], truths: Mapping[str, float]) -> Covered:
    estimates: dict[str, list[tuple[bool, Estimate]]] = {name: [] for name in truths}
    for told, figures in drawn:
        for name, estimate in figures.items():
            estimates[name].append((told or name in UNTAXED, estimate))
    return Covered(
        float(np.mean([told for told, _ in drawn])),
        {name: summed(of, truths[name]) for name, of in estimates.items() if of},
        UNTAXED,
    )
