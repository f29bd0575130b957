"""What ``snakemake power`` promises: on planted truth the promised excess is shown as often."""

import numpy as np
import pytest

from tests.shared.workflows import ROOT
from workflow_scripts.config.experiment import load
from workflow_scripts.config.layers import read_layers
from workflow_scripts.measures.nulls import Tally, p_values
from workflow_scripts.report import power
from workflow_scripts.report.power import PlannedPairs, detectable, effective_tax


def planted(generator, found, tax, excess):
    """Return a tally of right pairs in groups, with so much in excess of a blind tax."""
    size = round(found.pairs / found.groups)
    inside = generator.random(found.groups) < power.BLIND
    score = power.BLIND + excess
    chance = tax * np.where(inside, score / power.BLIND, (1 - score) / (1 - power.BLIND))
    if size > 1:
        spread = 1 / power.LIKENESS - 1
        chance = generator.beta(chance * spread, (1 - chance) * spread)
    right = generator.binomial(size, power.RIGHT, found.groups).astype(float)
    taxed = generator.binomial(right.astype(int), chance).astype(float)
    return Tally(right, right * inside, taxed, taxed * inside)


@pytest.mark.parametrize(
    ("found", "tax"), [(PlannedPairs(1000, 200), 0.1), (PlannedPairs(1000, 1000), 0.1)]
)
def test_the_excess_is_shown_as_often_as_it_says(found, tax):
    excess = detectable(effective_tax(found, tax), tax, 0.05)
    assert excess is not None
    generator = np.random.default_rng(0)
    one = np.zeros(found.groups, dtype=np.int64)
    shown = sum(
        p_values([planted(generator, found, tax, excess)], one, 100, generator)[0] < 0.05
        for _ in range(150)
    )
    assert 0.68 <= shown / 150 <= 0.92


def test_fewer_groups_more_cells_and_less_tax_need_more_excess():
    single, alike = PlannedPairs(1000, 1000), PlannedPairs(1000, 200)
    needed = [
        detectable(effective_tax(found, tax), tax, level)
        for found, tax, level in (
            (single, 0.1, 0.05),
            (alike, 0.1, 0.05),
            (alike, 0.1, 0.001),
            (alike, 0.02, 0.001),
        )
    ]
    assert needed[:3] == sorted(n for n in needed if n is not None)
    assert needed[3] is None


def test_the_demo_is_told_its_groups_and_what_it_lacks():
    layers = [ROOT / "config.yaml", ROOT / "profiles/demo/experiment.yaml"]
    config = load(read_layers(layers, {}))
    assert power.planned_pairs(config, "substances") == PlannedPairs(600, 200)
    assert len(power.tested(config)) == 24
    assert any("claims 2 and 3 get no interval" in line for line in power.notes(config))
    assert power.table(config).row_count == 3
