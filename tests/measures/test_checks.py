"""The checks on a score, on draws whose truth is known: selection control, length, repeats."""

import numpy as np
import pytest

from benchmarks.calibration.checks import (
    LENGTH,
    REPEATS,
    SELECTION,
    length_coverage,
    repeats_coverage,
    selection_coverage,
)
from benchmarks.calibration.measure import Covered
from benchmarks.calibration.planted import Truth
from benchmarks.calibration.planted_checks import Lengths, SeedBefore

DRAWS = 400
SINGLE, FIVE = (1, 0.0), (5, 0.3)
"""Pairs of a group, and how alike these are."""


def planted(design: tuple[int, float], taxed: int, score: float) -> Truth:
    size, likeness = design
    return Truth(1000, score, tax=taxed / 850, size=size, likeness=likeness)


def assert_held(found: Covered, names: tuple[str, ...]):
    assert found.told > 0.9
    for name in names:
        figure = found.figures[name]
        assert 0.92 <= figure.covered <= 0.985, (name, figure)


def assert_unbiased(found: Covered, names: tuple[str, ...]):
    for name in names:
        figure = found.figures[name]
        assert abs(figure.bias) <= 4 * figure.error, (name, figure)


@pytest.mark.parametrize("design", [SINGLE, FIVE])
@pytest.mark.parametrize(("taxed", "score", "shared"), [(50, 0.3, 0.9), (100, 0.75, 0.5)])
def test_the_selection_control_holds_the_truth_as_often_as_it_says(design, taxed, score, shared):
    truth = SeedBefore(planted(design, taxed, score), shared)
    found = selection_coverage(truth, DRAWS, np.random.default_rng(0))
    assert_held(found, SELECTION)
    assert_unbiased(found, SELECTION)


def test_a_difference_in_score_that_rests_on_few_pairs_is_held():
    """By percentiles of resamples it would be in 77 %: most pairs are picked by both or none."""
    truth = SeedBefore(planted(SINGLE, 20, 0.3), 0.9)
    found = selection_coverage(truth, DRAWS, np.random.default_rng(0))
    assert found.figures["score_difference"].covered >= 0.91


@pytest.mark.parametrize("design", [SINGLE, FIVE])
@pytest.mark.parametrize(("inside", "outside"), [(0.5, 0.5), (0.4, 0.8)])
def test_the_length_cue_holds_the_truth_as_often_as_it_says(design, inside, outside):
    truth = Lengths(planted(design, 100, 0.75), inside, outside)
    found = length_coverage(truth, DRAWS, np.random.default_rng(0))
    assert_held(found, LENGTH)
    if inside != outside:
        assert_unbiased(found, LENGTH[:3])


@pytest.mark.parametrize("design", [SINGLE, FIVE])
@pytest.mark.parametrize("again", [0.0, 0.3])
def test_the_repeats_hold_the_truth_as_often_as_they_say(design, again):
    truth = SeedBefore(planted(design, 100, 0.98), 0.7, again=again)
    found = repeats_coverage(truth, DRAWS, np.random.default_rng(0))
    assert_held(found, REPEATS)
    assert_unbiased(found, REPEATS)


def test_a_baseline_of_few_groups_is_as_uncertain_as_the_blind_share():
    """By what groups move alone it would be held in 83 %."""
    truth = SeedBefore(planted((25, 0.3), 100, 0.98), 0.7)
    found = repeats_coverage(truth, DRAWS, np.random.default_rng(0))
    assert found.figures["baseline"].covered >= 0.93
