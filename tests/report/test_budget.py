"""The budget of a run's uncertainty: on cells whose parts are known."""

import math

import numpy as np
import pytest

from tests.report.test_claims import cell
from workflow_scripts.report.budget import budget
from workflow_scripts.report.cells import EXCESS, SCORE, influences_of

GROUPS = 200


def planted(generator, models, seeds, of_pairs, of_seeds):
    """Return cells that share groups of pairs and seeds, each of which moves all of them alike."""
    moved = generator.normal(0, of_pairs / math.sqrt(GROUPS), GROUPS)
    by_seed = generator.normal(0, of_seeds, seeds)
    return [
        cell(weak, strong, seed, excess=0.2 + moved.sum() + by_seed[seed])
        | {"groups": GROUPS, influences_of(SCORE): moved, influences_of(EXCESS): 0 * moved}
        | {name: 0 * moved for name in (influences_of("excess_deception_stratified_baseline"),)}
        for place, weak in enumerate(models)
        for strong in models[place + 1 :]
        for seed in range(seeds)
    ]


def test_a_part_is_what_more_of_it_would_shrink():
    found = budget(planted(np.random.default_rng(0), "ab", 40, of_pairs=0.05, of_seeds=0.2))
    assert found is not None
    pairs, seeds, models = found.parts
    assert pairs.error == pytest.approx(0.05, rel=0.15)
    assert seeds.error == pytest.approx(0.2 / math.sqrt(40), rel=0.3)
    assert models.error is None
    assert pairs.doubled is not None
    assert seeds.doubled is not None
    # The larger part buys more.
    assert pairs.doubled < seeds.doubled < found.half


def test_shared_pairs_do_not_average_out_over_cells_and_seeds():
    """The mean over any number of cells is as far from the truth as the pairs are."""
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        found = budget(planted(generator, "abc", 3, of_pairs=0.05, of_seeds=0.0))
        assert found is not None
        covered += abs(found.excess - 0.2) <= found.half
    assert 0.9 <= covered / 200 <= 0.99


def test_models_have_a_part_from_four_on_and_no_tax_has_no_budget():
    found = budget(planted(np.random.default_rng(0), "abcd", 1, 0.05, 0.1))
    assert found is not None
    assert [part.number for part in found.parts] == [GROUPS, 1, 4]
    assert [part.error is None for part in found.parts] == [False, True, False]
    assert budget([cell(excess=None, p=None), cell(conflict="none")]) is None
