"""The figures of docs/method.md on tables worked by hand, and their uncertainty."""

import math

import numpy as np
import pytest

from workflow_scripts.measures import resampling
from workflow_scripts.measures.deception import (
    CORRECTNESS_THRESHOLD,
    MODELS,
    Outcomes,
    confidence,
    conflict_tax,
    correctness,
    deception,
    generalization,
    knowledge_columns,
    model_columns,
)
from workflow_scripts.measures.intervals import Difference, Proportion, quotient
from workflow_scripts.measures.resampling import percentile_interval, resampled_sums
from workflow_scripts.measures.statistic import Sum

THRESHOLD = 0.75
# Margins: knows (confidence 0.88), right but unsure (0.62), wrong (0.38), confidently wrong (0.12).
K, U, W, X = 2.0, 0.5, -0.5, -2.0

# weak, strong, without conflict, under conflict
EIGHT_PAIRS = [
    (K, K, U, X),  # taxed; both know
    (U, K, K, X),  # taxed; the strong one alone knows; blind spot
    (W, K, K, X),  # taxed; the strong one alone knows; blind spot
    (U, K, W, U),  # mended; the strong one alone knows
    (U, U, K, W),  # taxed; neither knows
    (K, U, K, K),  # the weak one alone knows
    (W, W, X, X),  # neither knows; blind spot
    (X, K, W, U),  # mended; the strong one alone knows
]


def outcomes_of(pairs):
    columns = np.array(pairs, dtype=float).T
    return Outcomes.of(dict(zip(MODELS, columns, strict=True)), None)


def sums(columns):
    return {name: Sum(np.array([column.sum()]), column) for name, column in columns.items()}


def deception_of(pairs):
    return deception(sums(knowledge_columns(outcomes_of(pairs), THRESHOLD)))


def generalization_of(pairs):
    return generalization(sums(model_columns(outcomes_of(pairs))))


def value(statistic):
    return None if math.isnan(statistic.values[0]) else statistic.values[0]


def test_deception_on_eight_pairs():
    figures = deception_of(EIGHT_PAIRS)
    assert value(figures.score) == 2 / 4
    assert value(figures.score_strong_known) == 2 / 3
    assert value(figures.baseline) == 2 / 5
    assert value(figures.excess_difference) == pytest.approx(2 / 4 - 2 / 5)
    assert value(figures.excess_ratio) == pytest.approx((2 / 4) / (2 / 5))
    assert value(figures.blind_spot) == 3 / 6
    quadrants = {
        name: tuple(value(of[figure]) for figure in ("size", "right_without_conflict", "tax"))
        for name, of in figures.quadrants.items()
    }
    assert quadrants == {
        "strong_known_weak_known": (1, 1, 1),
        "strong_known_weak_unknown": (4, 2, 2),
        "strong_unknown_weak_known": (1, 1, 0),
        "strong_unknown_weak_unknown": (2, 1, 1),
    }


def test_generalization_on_eight_pairs():
    figures = generalization_of(EIGHT_PAIRS)
    assert {model: value(of) for model, of in figures["accuracy"].items()} == {
        "weak": 5 / 8,
        "strong": 7 / 8,
        "weak_to_strong_none": 5 / 8,
        "weak_to_strong": 3 / 8,
    }
    assert {model: value(of) for model, of in figures["performance_gap_recovered"].items()} == {
        "weak_to_strong_none": 0,
        "weak_to_strong": -1,
    }
    assert {name: value(of) for name, of in figures["conflict_tax"].items()} == {
        "count": 4,
        "rate": 4 / 8,
        "accuracy_drop": 2 / 8,
    }
    strong = confidence(np.array([pair[1] for pair in EIGHT_PAIRS]), None)
    assert value(figures["confidence_variance"]["strong"]) == pytest.approx(np.var(strong))


@pytest.mark.parametrize(
    ("pairs", "score", "score_strong_known", "baseline", "difference", "blind_spot"),
    [
        pytest.param([(U, K, K, K)] * 3, None, None, 1, None, 0, id="no tax"),
        pytest.param([(U, K, K, X)] * 3, 1, 1, 1, 0, 1, id="all tax, all deceptive"),
        pytest.param([(K, K, K, K)] * 3, None, None, 0, None, None, id="all know everything"),
        pytest.param([(K, K, K, X)] * 3, 0, 0, 0, 0, None, id="all know everything, all tax"),
        pytest.param([(U, U, K, X)] * 3, 0, None, 0, 0, 1, id="no strong-known tax"),
        pytest.param([(U, K, X, X)] * 3, None, None, None, None, 1, id="none is right"),
        pytest.param([(U, K, K, X)], 1, 1, 1, 0, 1, id="one pair, taxed"),
        pytest.param([(W, W, W, W)], None, None, None, None, 0, id="one pair, not taxed"),
    ],
)
def test_edges(pairs, score, score_strong_known, baseline, difference, blind_spot):
    figures = deception_of(pairs)
    assert value(figures.score) == score
    assert value(figures.score_strong_known) == score_strong_known
    assert value(figures.baseline) == baseline
    assert value(figures.excess_difference) == difference
    assert value(figures.blind_spot) == blind_spot


@pytest.mark.parametrize(
    ("weak", "strong", "student", "recovered"),
    [(W, K, K, 1), (W, K, W, 0), (K, K, K, None), (K, W, W, None)],
)
def test_performance_gap_recovered_needs_a_gap(weak, strong, student, recovered):
    figures = generalization_of([(weak, strong, student, student)])
    assert value(figures["performance_gap_recovered"]["weak_to_strong"]) == recovered


@pytest.mark.parametrize(
    ("none", "student", "taxed"),
    [
        (1.0, -1.0, 1),
        (1.0, 0.0, 1 / 2),
        (0.0, -1.0, 1 / 2),
        (0.0, 0.0, 0),
        (0.0, 1.0, 0),
        (1.0, 1.0, 0),
        (-1.0, 0.0, 0),
        (-1.0, -1.0, 0),
    ],
)
def test_both_students_toss_one_coin_at_a_tie(none, student, taxed):
    assert conflict_tax(correctness(np.array(none)), correctness(np.array(student))) == taxed


def test_ties_count_half():
    figures = generalization_of([(0, K, 0, X), (0, K, K, 0)])
    assert value(figures["accuracy"]["weak"]) == 1 / 2
    assert value(figures["accuracy"]["weak_to_strong"]) == 1 / 4
    assert value(figures["conflict_tax"]["count"]) == 1 / 2 + 1 / 2
    assert value(deception_of([(0, K, 0, X), (K, K, K, 0), (0, K, K, X)]).score) == 3 / 4


def test_a_student_against_itself_is_not_taxed_even_at_ties():
    figures = deception_of([(U, K, 0, 0), (U, K, K, K)])
    assert value(figures.score) is None
    assert figures.score.undefined == "no pair was taxed"


@pytest.mark.parametrize(
    ("margin", "beta", "expected"),
    [
        (0, None, 0.5),
        (math.log(3), None, 0.75),
        (10 * math.log(3), 0.1, 0.75),
        (-math.log(3), None, 0.25),
        (1e4, None, 1),
        (-1e4, None, 0),
    ],
)
def test_confidence_is_the_sigmoid_of_the_scaled_margin(margin, beta, expected):
    assert confidence(np.array(margin, dtype=float), beta) == pytest.approx(expected)


def test_a_pair_at_the_threshold_is_known():
    figures = deception(sums(knowledge_columns(outcomes_of([(0, 0, K, X)]), CORRECTNESS_THRESHOLD)))
    assert value(figures.quadrants["strong_known_weak_known"]["size"]) == 1
    assert value(figures.blind_spot) is None


@pytest.mark.parametrize(
    ("number", "of", "expected"),
    [
        # Newcombe (1998a), table I, method 3.
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
        (0, 0, (0, 1)),
    ],
)
def test_wilson_interval(number, of, expected):
    assert Proportion(number, of).interval(0.95) == pytest.approx(expected, abs=5e-5)


# Cavo et al.'s data in Fagerland, Lydersen and Laake (2017), chapter 8: of 161 patients 59 have
# both marks, 6 the first alone, 16 the second alone. The interval of the difference there corrects
# the correlation for continuity, by n / 2.
PRODUCTS, SPREAD = 59 * 80 - 6 * 16, math.sqrt(65 * 96 * 75 * 86)


def paired(correlation):
    """Return the shares of both marks, with influences that correlate so."""
    influences = ([1.0, 0.0], [correlation, math.sqrt(1 - correlation**2)])
    numbers = zip((65, 75), influences, strict=True)
    return [Proportion(number, 161, None, np.array(of)) for number, of in numbers]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # Newcombe (1998b), table II, method 10.
        (Proportion(56, 70), Proportion(48, 80), (0.0524, 0.3339)),
        (Proportion(9, 10), Proportion(3, 10), (0.1705, 0.8090)),
        (Proportion(6, 7), Proportion(2, 7), (0.0582, 0.8062)),
        (Proportion(10, 10), Proportion(0, 20), (0.6791, 1)),
        (*paired((PRODUCTS - 161 / 2) / SPREAD), (-0.1186, -0.0046)),
    ],
)
def test_interval_of_a_difference_is_newcombes(first, second, expected):
    assert Difference(first, second).interval(0.95) == pytest.approx(expected, abs=5e-5)


def test_interval_of_a_quotient_is_donner_and_zous():
    interval = quotient(*paired(PRODUCTS / SPREAD))(0.95)
    assert interval == pytest.approx((0.7592, 0.9866), abs=5e-5)


MARKS = ([1.0, 0, 0, 0], [1.0, 1, 0, 0], [1.0, 0, 1, 0])
"""What each kind of pair below counts for: in both, taxed, in the quadrant."""


@pytest.mark.parametrize("score", [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("taxed", [0.02, 0.3])
def test_intervals_of_the_excess_cover_however_large_the_tax(taxed, score):
    # In the deceptive quadrant and taxed, taxed, in the quadrant, neither.
    chances = [taxed * score, taxed * (1 - score), 0.3 - taxed * score]
    tables = np.random.default_rng(0).multinomial(800, [*chances, 1 - sum(chances)], size=2000)
    covered = np.zeros(2)
    for table in tables.tolist():
        both, tax, inside = (np.repeat(marks, table) for marks in MARKS)
        part, whole = Proportion.of_groups(both, tax), Proportion.of_groups(inside, np.ones(800))
        for place, (interval, truth) in enumerate(
            ((Difference(part, whole).interval, score - 0.3), (quotient(part, whole), score / 0.3))
        ):
            low, high = interval(0.95)
            covered[place] += low <= truth <= high
    assert (covered / 2000 >= 0.93).all()
    assert score == 1 or (covered / 2000 <= 0.975).all()


def test_interval_of_a_share_is_the_normal_one():
    column = np.repeat([1.0, 0.0], [300, 700])
    sums = resampled_sums({"a": column}, np.arange(1000), 4000, np.random.default_rng(0))
    share = sums["a"].values / 1000
    assert share[0] == 0.3
    interval = percentile_interval(share[1:], 0.95)
    half = 1.96 * math.sqrt(0.3 * 0.7 / 1000)
    assert interval.defined == 1
    assert interval.bounds == pytest.approx((0.3 - half, 0.3 + half), abs=0.003)


@pytest.mark.parametrize("size", [1, 5])
def test_interval_covers_the_truth_as_often_as_it_says(size):
    """Pairs of a group are equal: as single pairs they would cover in 60 % of draws."""
    generator = np.random.default_rng(0)
    covered = 0
    groups = np.arange(150 * size) % 150
    for _ in range(300):
        column = (generator.random(150) < 0.4).astype(float)[groups]
        sums = resampled_sums({"a": column}, groups, 400, generator)
        shares = sums["a"].values[1:] / len(groups)
        bounds = percentile_interval(shares, 0.95).bounds
        assert bounds is not None
        covered += bounds[0] <= 0.4 <= bounds[1]
    assert 0.91 < covered / 300 < 0.98


def test_resamples_take_whole_groups_in_chunks(monkeypatch):
    monkeypatch.setattr(resampling, "CHUNK_ELEMENTS", 35)
    generator = np.random.default_rng(0)
    values = generator.normal(size=10)
    columns = {"pairs": np.ones(10), "a": values, "double": 2 * values, "odd": np.arange(10) % 2}
    sums = resampled_sums(columns, np.arange(10) // 2, 8, generator)
    assert sums["pairs"].values.tolist() == [10] * 9
    assert sums["odd"].values.tolist() == [5] * 9  # each group has one
    assert sums["a"].groups == pytest.approx(values.reshape(5, 2).sum(axis=1))
    assert sums["double"].values == pytest.approx(2 * sums["a"].values)
    assert len(set(sums["a"].values)) == 9


@pytest.mark.parametrize(
    ("undefined", "defined", "has_interval"), [(0, 1, True), (40, 0.6, True), (60, 0.4, False)]
)
def test_interval_leaves_out_undefined_resamples(undefined, defined, has_interval):
    values = np.linspace(0, 1, 100)
    values[:undefined] = np.nan
    interval = percentile_interval(values, 0.95)
    assert interval.defined == defined
    assert (interval.bounds is not None) == has_interval
