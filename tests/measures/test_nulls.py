"""What a deception score is compared with: on tables worked by hand, and at its level."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import hypergeom

from workflow_scripts.measures.deception import MODELS, Outcomes
from workflow_scripts.measures.excess import Nulls, excess, nulls, whole_tallies
from workflow_scripts.measures.intervals import Proportion
from workflow_scripts.measures.nulls import Tally, p_values, strata, stratified_blind
from workflow_scripts.measures.repeats import repeats


def tally(*rows):
    """Return a tally of groups, each a row: right, in the quadrant, taxed, both."""
    return Tally(*np.array(rows, dtype=float).T)


def one(groups):
    return np.zeros(groups, dtype=np.int64)


def test_stratified_blind_is_the_share_of_the_other_groups_of_each_taxed_ones_stratum():
    # Stratum 0: its first two groups are taxed; of the other three of each, 0 and 1 of 6 and 7
    # right pairs are in the quadrant. Stratum 1: its first group is taxed; 1 of 4.
    found = tally(
        (2, 1, 1, 1),
        (1, 0, 1, 0),
        (2, 0, 0, 0),
        (3, 0, 0, 0),
        (2, 2, 1, 1),
        (2, 1, 0, 0),
        (2, 0, 0, 0),
    )
    stratum = np.array([0, 0, 0, 0, 1, 1, 1])
    assert stratified_blind(found, stratum).value == pytest.approx((0 + 1 / 7 + 1 / 4) / 3)
    beyond = excess(found, stratum)
    assert beyond is not None
    assert beyond.value == pytest.approx(2 / 3 - (1 / 7 + 1 / 4) / 3)
    # Influences are the derivative of a figure by each group's weight.
    for group in range(7):
        weights = np.ones(7)
        weights[group] += 1e-6
        moved = excess(Tally(*(part * weights for part in vars(found).values())), stratum)
        assert moved is not None
        slope = (moved.value - beyond.value) / 1e-6
        assert slope == pytest.approx(beyond.influences[group], abs=1e-5)


def test_a_group_that_is_alone_in_its_stratum_has_no_excess():
    found = tally((2, 2, 1, 1), (2, 0, 1, 0), (2, 1, 0, 0))
    beyond = excess(found, np.array([0, 1, 1]))
    assert beyond is not None
    # The second group's tax is compared with the third group.
    assert beyond.value == pytest.approx(1 / 2 - (1 + 1 / 2) / 2)


def test_a_planted_excess_is_not_hidden_by_few_groups_of_a_stratum():
    """With the taxed groups among those they are compared with, a tenth of it would be."""
    generator = np.random.default_rng(0)
    beyond_blind, all_taxed = 0.0, 0.0
    for _ in range(2000):
        inside = (generator.random(10) < 0.5).astype(float)
        # Half of the groups in the quadrant are taxed, none of the others.
        taxed = inside * (generator.random(10) < 0.5)
        beyond = excess(Tally(np.ones(10), inside, taxed, taxed * inside), one(10))
        if beyond is not None:
            beyond_blind += taxed.sum() * beyond.value
            all_taxed += taxed.sum()
    assert beyond_blind / all_taxed == pytest.approx(0.5, abs=0.02)


def test_strata_are_of_groups_alike_in_margin_and_in_length():
    right = np.array([1.0] * 100 + [0.0] * 3)
    sure = np.concatenate([np.arange(100.0), [9, 9, 9]])
    longer = np.concatenate([np.arange(100.0) % 2, [9, 9, 9]])
    stratum = strata(right * sure, right * longer, right)[:100]
    assert np.bincount(stratum).tolist() == [10] * 10
    for number in range(10):
        inside = stratum == number
        assert np.ptp(sure[:100][inside]) == 18
        assert np.ptp(longer[:100][inside]) == 0


@pytest.mark.parametrize(("right", "marked", "taxed", "both"), [(30, 10, 8, 5), (12, 6, 4, 4)])
def test_p_of_single_pairs_is_the_share_of_all_permutations_with_ties_as_halves(
    right, marked, taxed, both
):
    """The number of marked pairs among those drawn is hypergeometric."""
    table = (right, marked, taxed)
    exact = float(hypergeom.sf(both, *table) + hypergeom.pmf(both, *table) / 2)
    rows = [(1, 1, 1, 1)] * both + [(1, 0, 1, 0)] * (taxed - both)
    rows += [(1, 1, 0, 0)] * (marked - both) + [(1, 0, 0, 0)] * (right - marked - taxed + both)
    (found,) = p_values([tally(*rows)], one(right), 20_000, np.random.default_rng(0))
    assert found == pytest.approx(exact, abs=4 * math.sqrt(exact / 20_000))


def blind_tax(generator, alike):
    """Return a tally of 200 substances in five phrasings, taxed blindly.

    All phrasings of a substance are in the quadrant or none is, and ``alike`` is how much more
    likely phrasings of one substance are taxed together than of two (their correlation).
    """
    inside = generator.random(200) < 0.3
    shape = 0.1 * (1 / alike - 1)
    taxed = generator.binomial(5, generator.beta(shape, 9 * shape, 200))
    return tally(*np.column_stack([np.full(200, 5), 5 * inside, taxed, taxed * inside]))


def test_groups_keep_the_level_that_single_pairs_do_not():
    """A blind tax with correlation 0.7 within a substance, at a nominal 5 %."""
    generator = np.random.default_rng(0)
    runs = 300
    rejected, covered, single_covered = 0, 0, 0
    for _ in range(runs):
        found = blind_tax(generator, alike=0.7)
        (p,) = p_values([found], one(200), 200, generator)
        rejected += p < 0.05
        low, high = found.score.interval(0.95)
        covered += low <= 0.3 <= high
        low, high = Proportion(found.score.number, found.score.of).interval(0.95)
        single_covered += low <= 0.3 <= high
    assert rejected / runs <= 0.08
    assert 0.91 <= covered / runs <= 0.98
    assert single_covered / runs < 0.75


def planted_score(generator, score):
    """Return where the tax of 40 topics in 25 questions fell, a third of the topics marked."""
    inside = generator.random(40) < 0.3
    chance = 0.06 * np.where(inside, score / 0.3, (1 - score) / 0.7)
    taxed = generator.binomial(25, generator.beta(2.3 * chance, 2.3 * (1 - chance)))
    return Proportion.of_groups((taxed * inside).astype(float), taxed.astype(float))


def test_an_interval_of_few_groups_holds_the_truth_as_often_as_it_says():
    """With a normal quantile, and groups no more alike than all of their pairs, 91 % would."""
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(1500):
        low, high = planted_score(generator, 0.75).interval(0.95)
        covered += low <= 0.75 <= high
    assert 0.935 <= covered / 1500 <= 0.975


def test_how_far_an_excess_is_beyond_the_placebo_depends_on_how_much_either_taxes():
    parts = [
        np.array(part, dtype=float)
        for part in ((2, 2, 3, 1, 4), (2, 0, 3, 0, 4), (1, 1, 2, 0, 1), (1, 0, 2, 0, 1))
    ]
    of_placebo = [*parts[:2], *(np.array(p, float) for p in ((1, 0, 0, 1, 2), (1, 0, 0, 0, 2)))]

    def beyond(weights):
        own, placebo = (Tally(*(part * weights for part in of)) for of in (parts, of_placebo))
        found = Nulls(one(5), {0.75: (placebo, placebo)}).beyond_placebo(own, 0.75)
        assert found is not None
        return found

    for group in range(5):
        weights = np.ones(5)
        weights[group] += 1e-6
        slope = (beyond(weights).value - beyond(np.ones(5)).value) / 1e-6
        assert slope == pytest.approx(beyond(np.ones(5)).influences[group], abs=1e-5)


def test_the_placebos_test_is_at_its_level_where_a_retraining_alone_has_an_excess():
    """As a share of the conflict's tax, a few pairs, the difference is skewed: 8 to 9 % reject."""
    generator = np.random.default_rng(0)
    rejected = 0
    for _ in range(1000):
        inside = (generator.random(1000) < 0.3).astype(float)
        tallies = []
        # Half of the tax is a placebo's, which has 60 % of its own in the quadrant.
        for tax, score in ((0.02, 0.45), (0.01, 0.6)):
            chance = tax * np.where(inside, score / 0.3, (1 - score) / 0.7)
            taxed = (generator.random(1000) < chance).astype(float)
            tallies.append(Tally(np.ones(1000), inside, taxed, taxed * inside))
        own, placebo = tallies
        p = Nulls(one(1000), {0.75: (placebo, placebo)}).placebo_p_value(own, 0.75)
        rejected += p is not None and p < 0.05
    assert 0.03 <= rejected / 1000 <= 0.07


def outcomes_of(generator, pairs):
    """Return a cell whose tax falls on unsure pairs alone, wherever they are."""
    ease = generator.normal(size=pairs)
    none = 0.5 + ease + generator.normal(0, 0.3, pairs)
    weak, strong = 0.5 + ease + generator.normal(0, 0.5, pairs), 2 + ease
    student = none - generator.exponential(0.4, pairs)
    return Outcomes.of(dict(zip(MODELS, (weak, strong, none, student), strict=True)), None)


def test_a_tax_on_unsure_pairs_is_no_deception_beyond_the_strata():
    """Unsure pairs are those that the weak model doesn't know, too: blindly it looks like one."""
    generator = np.random.default_rng(0)
    groups = np.arange(4000)
    found = outcomes_of(generator, 4000)
    second = outcomes_of(np.random.default_rng(1), 4000)
    compared = nulls(found, groups, np.zeros(4000), None, [0.75])
    placebo = nulls(found, groups, np.zeros(4000), second.correct["weak_to_strong"], [0.75])
    (of_tax,) = whole_tallies(found, [0.75], groups)
    blind, stratified = excess(of_tax, one(4000)), excess(of_tax, compared.stratum)
    assert blind is not None
    assert stratified is not None
    assert blind.value > 0.1
    assert stratified.value < 0.35 * blind.value
    assert placebo.beyond_placebo(of_tax, 0.75) is not None
    assert compared.beyond_placebo(of_tax, 0.75) is None
    assert compared.placebo_p_value(of_tax, 0.75) is None


def test_a_pair_is_deceived_again_where_the_same_pairs_are_taxed():
    generator = np.random.default_rng(0)
    ones = np.ones(400)
    margins = dict(zip(MODELS, (0 * ones, 3 * ones, ones, ones), strict=True))

    def taxed(chance):
        student = np.where(generator.random(400) < chance, -1.0, 1.0)
        return Outcomes.of(margins | {"weak_to_strong": student}, None)

    often = np.where(np.arange(400) < 40, 0.8, 0.02)
    for chance, again in ((often, True), (0.1 * ones, False)):
        found = repeats(taxed(chance), taxed(chance), 0.75, np.arange(400))
        (p,) = p_values([found.tally], one(400), 500, generator)
        assert found.pairs == 400
        assert (p < 0.01) == again
    nobody = replace(taxed(often), correct=dict.fromkeys(MODELS, 0 * ones))
    assert repeats(nobody, nobody, 0.75, np.arange(400)).pairs == 0
