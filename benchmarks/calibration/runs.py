"""Tables of cells drawn from a known truth: a tax that falls blindly, or with a planted excess.

Test pairs are in groups, and those of a group are taxed together or not: as substances in several
phrasings are. All cells have the same groups, and where a truth says so, seeds and cells tax the
same ones.
"""

from typing import Any

import numpy as np

from workflow_scripts.measures.excess import Nulls, excess
from workflow_scripts.measures.nulls import Tally, p_values
from workflow_scripts.measures.statistic import Array
from workflow_scripts.report.cells import (
    BEYOND_PLACEBO,
    BLIND,
    EXCESS,
    P_VALUE,
    PLACEBO,
    PLACEBO_P_VALUE,
    REPEATED_P_VALUE,
    SCORE,
    influences_of,
)

GROUPS, SIZE = 100, 5
PERMUTATIONS = 200
LEVEL = 0.95
LIKENESS = 0.72
"""The chance that a pair is taxed whose group is: so pairs of a group correlate by 0.7."""
CONFLICTS = ("explicit", "implicit")


def simulated_run(
    generator: np.random.Generator,
    models: int,
    seeds: int,
    shared: float,
    *,
    excess: float = 0.0,
    growth: float = 0.0,
    tax: tuple[int, int] = (3, 25),
    conflicts: tuple[str, ...] = CONFLICTS,
    prone: bool = False,
    retrained: float = 0.0,
) -> list[dict[str, Any]]:
    """Return the cells of one scenario, direct and through a model in between.

    The share b of strong-known, weak-unknown pairs grows with the gap, as in any experiment.

    Args:
        generator: source of random numbers.
        models: their number; their accuracies go from 0.60 to 0.98.
        seeds: their number.
        shared: the chance that a seed taxes the groups that the first seed does.
        excess: DS less b, of direct students; bootstrapped ones have none.
        growth: rise of the direct students' excess per unit of gap.
        tax: least and most taxed groups of a cell.
        conflicts: their names.
        prone: whether some groups are taxed more than others in every cell.
        retrained: DS less b that a mere retraining has, as much in a cell as in its placebo, whose
            tax is then as large and not a third.
    """
    accuracies = np.linspace(0.6, 0.98, models)
    # How hard each group is: what the strong model knows of it and the weak one doesn't.
    hardness = generator.random(GROUPS)
    proneness = generator.gamma(0.5, 1.0, GROUPS) + 0.01 if prone else np.ones(GROUPS)
    rows = []
    for conflict in conflicts:
        for weak in range(models):
            for strong in range(weak + 1, models):
                gap = accuracies[strong] - accuracies[weak]
                offset = 0.05 * strong
                marked = (hardness > offset) & (hardness < offset + 0.05 + 1.2 * gap)
                cell = {
                    "target": "t",
                    "scenario": "dpo",
                    "weak": f"m{weak}",
                    "strong": f"m{strong}",
                    "conflict": conflict,
                    "filter": None,
                    "pairs": GROUPS * SIZE,
                    "accuracy_weak": accuracies[weak],
                    "accuracy_strong": accuracies[strong],
                }
                planted = {"direct": excess + growth * gap}
                if strong - weak > 1:
                    planted[f"via_m{weak + 1}"] = 0.0
                for student, beyond in planted.items():
                    weights = _weights(marked, beyond + retrained) * proneness
                    number = int(generator.integers(*tax))
                    before = None
                    common = _taxed(generator, weights, number)
                    for seed in range(seeds):
                        again = _taxed(generator, weights, number)
                        kept = generator.random(GROUPS) < shared
                        mixed = np.where(kept, common, again)
                        taxed = mixed if mixed.any() else again
                        untaught = _weights(marked, retrained) * proneness
                        placebo = _taxed(generator, untaught, number if retrained else number // 3)
                        row = _figures(generator, marked, taxed, placebo, student == "direct")
                        row |= {"student": student, "through": student.removeprefix("direct")[4:]}
                        if before is not None and student == "direct":
                            row |= _repeats(generator, marked, taxed, before)
                        before = taxed
                        rows.append(cell | row | {"seed": seed})
    return rows


def _weights(marked: np.ndarray, beyond: float) -> Array:
    """Return the chance of each group to be the next one taxed, for a DS of b and so much more."""
    blind = marked.mean()
    score = min(1.0, blind + beyond)
    return np.where(marked, score / blind, (1 - score) / (1 - blind)) / GROUPS


def _taxed(generator: np.random.Generator, weights: Array, number: int) -> Array:
    """Return how many pairs of each group are taxed, shape (groups,)."""
    number = min(number, int(np.count_nonzero(weights)))
    chosen = generator.choice(GROUPS, number, replace=False, p=weights / weights.sum())
    taxed = np.zeros(GROUPS)
    taxed[chosen] = np.maximum(generator.binomial(SIZE, LIKENESS, number), 1)
    return taxed


def _figures(
    generator: np.random.Generator, marked: Array, taxed: Array, placebo: Array, tested: bool
) -> dict[str, Any]:
    right = np.full(GROUPS, float(SIZE))
    stratum = np.zeros(GROUPS, dtype=np.int64)
    own, other = (Tally(right, right * marked, tax, tax * marked) for tax in (taxed, placebo))
    found, of_placebo = excess(own, stratum), excess(other, stratum)
    assert found is not None
    compared = Nulls(stratum, {0.75: (other, other)})
    beyond = compared.beyond_placebo(own, 0.75)
    assert beyond is not None
    figures = {SCORE: found.first, BLIND: found.second, EXCESS: found, BEYOND_PLACEBO: beyond}
    row: dict[str, Any] = {
        PLACEBO: of_placebo and of_placebo.value,
        P_VALUE: None,
        PLACEBO_P_VALUE: None,
    }
    for name, figure in figures.items():
        low, high = figure.interval(LEVEL)
        row |= {name: figure.value, f"{name}_low": low, f"{name}_high": high}
    row |= {
        influences_of(SCORE): found.first.influences,
        influences_of(BLIND): found.second.influences,
    }
    if tested:
        (row[P_VALUE],) = p_values([own], stratum, PERMUTATIONS, generator)
        row[PLACEBO_P_VALUE] = compared.placebo_p_value(own, 0.75)
    return row


def _repeats(
    generator: np.random.Generator, marked: Array, taxed: Array, before: Array
) -> dict[str, Any]:
    """Return what a row has of the pairs deceived under this seed and the one before.

    Of a group, each seed taxes pairs of its own choice.
    """
    right, now, earlier = SIZE * marked, taxed * marked, before * marked
    both = generator.hypergeometric(
        earlier.astype(int), (SIZE - earlier).astype(int), now.astype(int)
    )
    tally = Tally(right, earlier, now, both.astype(np.float64))
    stratum = np.zeros(GROUPS, dtype=np.int64)
    found = excess(tally, stratum)
    if found is None:
        return {REPEATED_P_VALUE: None}
    (p,) = p_values([tally], stratum, PERMUTATIONS, generator)
    return {
        REPEATED_P_VALUE: p,
        "repeats_difference": found.value,
        "repeats_difference_high": found.interval(LEVEL)[1],
        "repeats_deceived": now.sum(),
        "repeats_both": both.sum(),
    }
