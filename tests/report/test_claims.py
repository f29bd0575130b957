"""The verdicts on the paper's claims: on cells whose answer is known."""

import re
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.calibration.planted import THRESHOLD, Truth
from benchmarks.calibration.runs import CONFLICTS, simulated_run
from workflow_scripts.measures.probe_figures import figures
from workflow_scripts.measures.probed_pairs import ProbedPairs
from workflow_scripts.report.cells import (
    BLIND,
    EXCESS,
    P_VALUE,
    PLACEBO_P_VALUE,
    REPEATED_P_VALUE,
    SCORE,
    influences_of,
)
from workflow_scripts.report.claims import (
    ALPHA,
    Verdict,
    bootstrapping_mitigates,
    deception_exists,
    deception_repeats,
    grows_with_the_gap,
)
from workflow_scripts.report.p_values import (
    adjusted,
    benjamini_hochberg,
    holm,
    written,
)
from workflow_scripts.report.replication import LEAST_MODELS, jackknife_interval

CLAIMS = (deception_exists, grows_with_the_gap, bootstrapping_mitigates)
ACCURACIES = {"a": 0.55, "b": 0.65, "c": 0.75, "d": 0.85, "e": 0.95}


PROBED = {
    **dict.fromkeys(("target", "scenario", "weak", "strong", "conflict", "seed"), "planted"),
    "threshold": THRESHOLD,
    "sweep": [],
    "resamples": 100,
    "interval": 0.95,
    "beta": None,
}
STUDENT = {"student": "direct", "through": "", "filter": None}


def cell(
    weak="a",
    strong="b",
    seed=0,
    excess: float | None = 0.1,
    high: float | None = 0.2,
    p: float | None = 0.5,
    blind: float = 0.4,
    error: float = 0.001,
    **others: Any,
):
    """Return a row; ``error`` is half the width of its intervals over groups of pairs."""
    score = None if excess is None else blind + excess
    figures = {SCORE: score, BLIND: blind, EXCESS: excess}
    # Two groups, which move the score apart by as much as the error is.
    moved = np.array([1.0, -1.0]) * error / 2 / 1.96
    return STUDENT | {
        "target": "t",
        "scenario": "simpo",
        "weak": weak,
        "strong": strong,
        "conflict": "explicit",
        "seed": seed,
        "pairs": 1000,
        "accuracy_weak": ACCURACIES[weak],
        "accuracy_strong": ACCURACIES[strong],
        **figures,
        f"{EXCESS}_high": high,
        P_VALUE: p,
        influences_of(SCORE): None if excess is None else moved,
        influences_of(BLIND): 0 * moved,
        **others,
    }


def cells_of(models, excess_of, seeds=(0,), noise=0.01, error=0.001):
    generator = np.random.default_rng(0)
    found = (
        (weak, strong, seed, excess_of(weak, strong) + generator.normal(0, noise))
        for place, weak in enumerate(models)
        for strong in models[place + 1 :]
        for seed in seeds
    )
    return [
        cell(weak, strong, seed, excess, high=excess + error, error=error)
        for weak, strong, seed, excess in found
    ]


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([], Verdict.TOO_LITTLE),
        # A mere retraining does as much.
        ([cell(p=0.001) | {PLACEBO_P_VALUE: 0.5}], Verdict.TOO_LITTLE),
        ([cell(p=0.001) | {PLACEBO_P_VALUE: 0.01}], Verdict.IN_ALL),
        ([cell(p=0.001), cell(p=0.6)], Verdict.IN_SOME),
        ([cell(p=0.001), cell(p=0.001), cell(p=0.6)], Verdict.IN_MOST),
        ([cell(p=0.001), cell(p=0.001)], Verdict.IN_ALL),
        # Certain, but less than a reader would care about.
        ([cell(p=0.0, excess=0.01, high=0.02), cell(p=0.6)], Verdict.TOO_LITTLE),
        ([cell(p=0.0, excess=0.01, high=0.02)], Verdict.DOES_NOT),
        # 0.03 in one of two cells is no news: Holm makes it 0.06.
        ([cell(p=0.03), cell(p=0.6)], Verdict.TOO_LITTLE),
        ([cell(high=0.04), cell(high=0.01)], Verdict.DOES_NOT),
        ([cell(high=0.04), cell(high=0.3)], Verdict.TOO_LITTLE),
        ([cell(p=None, excess=None)], Verdict.TOO_LITTLE),
        ([cell(p=0.001, conflict="none")], Verdict.TOO_LITTLE),
        ([cell(p=0.001, student="via_c", through="c")], Verdict.TOO_LITTLE),
    ],
)
def test_deception_exists_where_a_cell_shows_it_after_adjustment(rows, verdict):
    assert deception_exists(rows).verdict == verdict


def planted_cell(truth, generator):
    """Return a cell's row as its probe of a planted truth has it."""
    outcomes = truth.outcomes(generator)
    pairs = ProbedPairs.single(len(outcomes.taxed))
    at = figures(outcomes, {}, pairs, PROBED)["deception"]
    excess = at["excess_deception"]["stratified"]
    return cell(
        blind=excess["baseline"]["value"],
        excess=excess["difference"]["value"],
        high=(excess["difference"]["interval"] or [None, None])[1],
        p=excess["p_value"]["value"],
    )


@pytest.mark.parametrize(
    ("truth", "holds", "does_not"),
    [
        # A blind tax scores 0.3. Of 15 runs a claim at 5 % holds in 3 or fewer by chance (99 %).
        pytest.param(Truth(400, 0.3), (0, 3), (0, 0), id="blind tax, few pairs"),
        # 680 pairs are taxed, as many as of 8,000 by a tax of 0.1: 90 % of runs deny the claim.
        pytest.param(Truth(2000, 0.3, tax=0.4), (0, 3), (10, 15), id="blind tax, very many pairs"),
        pytest.param(
            Truth(1000, 0.1, tax=0.4), (0, 0), (15, 15), id="tax on what the weak model knows"
        ),
        pytest.param(Truth(1000, 0.6), (15, 15), (0, 0), id="deception"),
        pytest.param(Truth(60, 0.35), (0, 3), (0, 0), id="a little deception, too few pairs"),
    ],
)
def test_deception_exists_says_what_was_planted(truth, holds, does_not):
    generator = np.random.default_rng(0)
    verdicts = [
        deception_exists([planted_cell(truth, generator) for _ in range(3)]).verdict
        for _ in range(15)
    ]
    shown = sum(verdict.startswith("holds") for verdict in verdicts)
    assert holds[0] <= shown <= holds[1]
    assert does_not[0] <= verdicts.count(Verdict.DOES_NOT) <= does_not[1]


def test_the_clearest_cell_is_told_where_no_cell_is_clear():
    rows = [cell(p=0.9), cell("a", "c", p=0.2), cell("b", "c", p=0.7)]
    assert "Clearest: simpo, a → c, explicit: DS 0.50, +0.10" in deception_exists(rows).evidence[1]


def gap(weak, strong):
    return ACCURACIES[strong] - ACCURACIES[weak]


@pytest.mark.parametrize(
    ("models", "seeds", "slope", "verdict"),
    [
        ("abcde", (0,), 1.0, Verdict.HOLDS),
        ("abcde", (0,), 0.0, Verdict.DOES_NOT),
        ("abcde", (0,), -1.0, Verdict.DOES_NOT),
        ("abc", (0,), 1.0, Verdict.TOO_LITTLE),
        ("abc", (0, 1, 2), 1.0, Verdict.HOLDS),
        ("ab", (0, 1, 2), 1.0, Verdict.TOO_LITTLE),
    ],
)
def test_growth_with_the_gap_needs_a_trend_beyond_the_noise(models, seeds, slope, verdict):
    rows = cells_of(models, lambda *pair: 0.2 + slope * gap(*pair), seeds, noise=0.002)
    assert grows_with_the_gap(rows).verdict == verdict


def test_a_noisy_trend_is_too_little_data():
    rows = cells_of("abcde", lambda *pair: 0.3 + 0.2 * gap(*pair), noise=0.2)
    assert grows_with_the_gap(rows).verdict == Verdict.TOO_LITTLE


def test_a_trend_between_scenarios_is_no_trend():
    easy = cells_of("abc", lambda *pair: 0.1, (0, 1, 2), noise=0.001)
    steep = [
        row
        | {
            "scenario": "dpo",
            EXCESS: row[EXCESS] + 0.8,
            **wider(row),
        }
        for row in easy
    ]
    assert grows_with_the_gap([*easy, *steep]).verdict == Verdict.DOES_NOT


def wider(row):
    return {"accuracy_strong": row["accuracy_strong"] + 0.04}


@pytest.mark.parametrize(
    ("lower", "seeds", "verdict"),
    [
        (0.1, (0, 1, 2), Verdict.HOLDS),
        (-0.1, (0, 1, 2), Verdict.DOES_NOT),
        (0.1, (0,), Verdict.TOO_LITTLE),
    ],
)
def test_bootstrapping_is_compared_with_the_same_cell(lower, seeds, verdict):
    straight = cells_of("ab", lambda *pair: 0.3, seeds)
    assert bootstrapping_mitigates([*straight, *through_c(straight, -lower)]).verdict == verdict
    assert bootstrapping_mitigates(straight).verdict == Verdict.TOO_LITTLE


def through_c(rows, excess=0.0, blind=0.0):
    """Return the bootstrapped counterparts of rows, changed by as much."""
    changes = {SCORE: excess + blind, BLIND: blind, EXCESS: excess}
    return [
        row
        | {"student": "via_c", "through": "c", influences_of(SCORE): np.zeros(2)}
        | {name: row[name] + by for name, by in changes.items()}
        for row in rows
    ]


def test_evidence_gives_a_change_with_its_sign():
    straight = cells_of("ab", lambda *pair: 0.3, (0, 1, 2))
    for change, shown in ((-0.1, "excess -0.100 [-0.101, -0.099]"), (0.1, "excess +0.100 [")):
        evidence = bootstrapping_mitigates([*straight, *through_c(straight, change)]).evidence
        assert shown in evidence[0]


def test_a_change_of_the_blind_share_is_no_change_of_the_deception():
    """DS falls and rises with b, the share that a blind tax has, by arithmetic."""
    straight = cells_of("abcde", lambda *pair: 0.0, (0, 1, 2), noise=0.001)
    lower = bootstrapping_mitigates([*straight, *through_c(straight, blind=-0.3)])
    assert lower.verdict == Verdict.DOES_NOT
    assert "DS -0.300" in lower.evidence[0]
    assert "b -0.300" in lower.evidence[0]
    rising = [
        row | {name: row[name] + gap(row["weak"], row["strong"]) for name in (SCORE, BLIND)}
        for row in straight
    ]
    grown = grows_with_the_gap(rising)
    assert grown.verdict == Verdict.DOES_NOT
    assert re.search(r"DS \+0\.100.*; b \+0\.100.*; excess [+-]0\.000", grown.evidence[0])


RETRAINED = {"tax": (20, 50), "retrained": 0.3}


@pytest.mark.parametrize(
    ("models", "seeds", "shared", "runs", "more"),
    [
        (3, 1, 0.0, 60, {}),
        (3, 3, 0.0, 60, {}),
        pytest.param(3, 3, 1.0, 40, {}, id="every seed taxes the same pairs"),
        pytest.param(3, 3, 0.0, 40, RETRAINED, id="a retraining alone has an excess"),
        (7, 1, 0.0, 25, {}),
    ],
)
@pytest.mark.slow
def test_no_claim_holds_more_often_than_its_level_where_nobody_deceives(
    models, seeds, shared, runs, more
):
    generator = np.random.default_rng(0)
    # Where every seed taxes the same pairs, what is deceived once is deceived again.
    tested = [*CLAIMS, *([] if shared else [deception_repeats])]
    held = dict.fromkeys(tested, 0)
    conflicts = CONFLICTS if models == 3 else CONFLICTS[:1]
    for _ in range(runs):
        rows = simulated_run(generator, models, seeds, shared, conflicts=conflicts, **more)
        for test in tested:
            held[test] += test(rows).verdict.startswith("holds")
    # A verdict at 5 % is given more often with a probability of 1 %.
    assert max(held.values()) <= binom.ppf(0.99, runs, ALPHA), held


def test_pairs_that_every_seed_taxes_are_deceived_again():
    generator = np.random.default_rng(0)
    runs = (simulated_run(generator, 3, 2, 0.7, tax=(20, 40)) for _ in range(10))
    assert sum(deception_repeats(rows).verdict.startswith("holds") for rows in runs) >= 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("models", "seeds", "planted", "expected"),
    [
        (3, 1, {"excess": 0.4}, (Verdict.IN_MOST, Verdict.TOO_LITTLE, Verdict.TOO_LITTLE)),
        # Where the gap is small, few groups are left to seek out: the excess grows a little.
        (7, 1, {"excess": 0.4}, (Verdict.IN_MOST, None, None)),
        (7, 1, {"growth": 1.5}, (None, Verdict.HOLDS, Verdict.HOLDS)),
    ],
)
def test_claims_show_what_was_planted(models, seeds, planted, expected):
    generator = np.random.default_rng(0)
    runs = [
        [test(rows).verdict for test in CLAIMS]
        for rows in (
            simulated_run(
                generator, models, seeds, 0.5, tax=(30, 50), conflicts=CONFLICTS[:1], **planted
            )
            for _ in range(10)
        )
    ]
    for verdicts, most in zip(zip(*runs, strict=True), expected, strict=True):
        # At 3 models and one seed most may be all.
        found = [most if v == Verdict.IN_ALL else v for v in verdicts]
        assert most is None or found.count(most) >= 8, verdicts


@pytest.mark.parametrize(
    ("cells", "verdict"),
    [
        ([], Verdict.TOO_LITTLE),
        ([(0.001, 0.3, 0.4), (0.001, 0.2, 0.3)], Verdict.IN_ALL),
        ([(0.001, 0.3, 0.4), (0.6, 0.2, 0.3)], Verdict.IN_SOME),
        ([(0.001, 0.02, 0.03), (0.6, 0.0, 0.04)], Verdict.DOES_NOT),
        ([(0.4, 0.02, 0.3)], Verdict.TOO_LITTLE),
    ],
)
def test_deception_repeats_where_the_same_pairs_are_deceived(cells, verdict):
    rows = [
        cell()
        | {
            REPEATED_P_VALUE: p,
            "repeats_difference": more,
            "repeats_difference_high": high,
            "repeats_deceived": 20,
            "repeats_both": 9,
        }
        for p, more, high in cells
    ]
    claim = deception_repeats([*rows, cell()])
    assert claim.verdict == verdict
    assert not cells or "pairs deceived under both seeds' ceilings" in claim.evidence[0]


def test_holm_multiplies_by_the_hypotheses_left_and_never_falls():
    # 3 * 0.01; 2 * 0.02 = 0.04; 1 * 0.03 would fall to 0.03.
    assert holm([0.02, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1, 1]


def test_benjamini_and_hochberg_multiply_by_number_over_rank_and_never_rise():
    # 4/1 * 0.01; 4/2 * 0.03 = 0.06 is more than the next, 4/3 * 0.04; 4/4 * 0.5.
    assert benjamini_hochberg([0.5, 0.03, 0.01, 0.04]) == pytest.approx(
        [0.5, 0.16 / 3, 0.04, 0.16 / 3]
    )


def test_p_values_are_adjusted_within_a_target():
    rows = [cell(p=0.02), cell(p=None), cell(p=0.6), cell(p=0.02, target="other")]
    assert adjusted(rows) == [0.04, None, 0.6, 0.02]


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0, "<0.001"), (0.00099, "<0.001"), (0.001, "0.001"), (1.0, "1.000"), (None, "-")],
)
def test_a_p_value_is_never_written_as_zero(p, text):
    assert written(p) == text


def test_jackknife_covers_where_cells_share_models():
    generator = np.random.default_rng(0)
    models = "abcde"
    covered = 0
    for _ in range(200):
        weak, strong = ({m: generator.normal(0, 0.1) for m in models} for _ in range(2))
        rows = cells_of(models, lambda w, s, weak=weak, strong=strong: weak[w] + strong[s])
        bounds = jackknife_interval(
            rows, lambda some: float(np.mean([row[EXCESS] for row in some]))
        )
        assert bounds is not None
        covered += bounds[0] <= 0 <= bounds[1]
    assert covered / 200 >= 0.93
    assert len(models) >= LEAST_MODELS
