"""The verdicts on the paper's claims: on cells whose answer is known."""

import numpy as np
import pytest

from benchmarks.calibration.planted import THRESHOLD, Truth
from workflow_scripts.measures.probe_figures import figures
from workflow_scripts.report.claims import (
    Verdict,
    bootstrapping_mitigates,
    deception_exists,
    grows_with_the_gap,
    holm,
)
from workflow_scripts.report.replication import LEAST_MODELS, jackknife_interval

ACCURACIES = {"a": 0.55, "b": 0.65, "c": 0.75, "d": 0.85, "e": 0.95}


PROBED = {
    **dict.fromkeys(("target", "scenario", "weak", "strong", "conflict", "seed"), "planted"),
    "threshold": THRESHOLD,
    "sweep": [],
    "resamples": 2,
    "interval": 0.95,
}
STUDENT = {"student": "direct", "through": "", "filter": None}


def cell(
    weak="a",
    strong="b",
    seed=0,
    score: float | None = 0.5,
    excess=0.1,
    high: float | None = 0.2,
    p: float | None = 0.5,
    **others,
):
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
        "deception_score": score,
        "excess_deception_difference": excess,
        "excess_deception_difference_high": high,
        "excess_deception_p_value": p,
        **others,
    }


def cells_of(models, score_of, seeds=(0,), noise=0.01, **others):
    generator = np.random.default_rng(0)
    return [
        cell(weak, strong, seed, score_of(weak, strong) + generator.normal(0, noise), **others)
        for place, weak in enumerate(models)
        for strong in models[place + 1 :]
        for seed in seeds
    ]


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([], Verdict.TOO_LITTLE),
        ([cell(p=0.001), cell(p=0.6)], Verdict.HOLDS),
        # 0.03 in one of two cells is no news: Holm makes it 0.06.
        ([cell(p=0.03), cell(p=0.6)], Verdict.TOO_LITTLE),
        ([cell(high=0.04), cell(high=0.01)], Verdict.DOES_NOT),
        ([cell(high=0.04), cell(high=0.3)], Verdict.TOO_LITTLE),
        ([cell(p=None, score=None)], Verdict.TOO_LITTLE),
        ([cell(p=0.001, conflict="none")], Verdict.TOO_LITTLE),
        ([cell(p=0.001, student="via_c", through="c")], Verdict.TOO_LITTLE),
    ],
)
def test_deception_exists_where_a_cell_shows_it_after_adjustment(rows, verdict):
    assert deception_exists(rows).verdict == verdict


def planted_cell(truth, generator):
    """Return a cell's row as its probe of a planted truth has it."""
    outcomes = truth.outcomes(generator)
    at = figures(outcomes, None, PROBED)["deception"]
    excess = at["excess_deception"]
    return cell(
        score=at["deception_score"]["value"],
        excess=excess["difference"]["value"],
        high=(excess["difference"]["interval"] or [None, None])[1],
        p=excess["p_value"]["value"],
    )


@pytest.mark.parametrize(
    ("pairs", "score", "holds", "does_not"),
    [
        # A blind tax scores 0.3. Of 30 runs a claim at 5 % holds in 4 or fewer by chance (98 %).
        pytest.param(400, 0.3, (0, 4), (0, 0), id="blind tax, few pairs"),
        pytest.param(40_000, 0.3, (0, 4), (26, 30), id="blind tax, very many pairs"),
        pytest.param(40_000, 0.1, (0, 0), (30, 30), id="tax on what the weak model knows"),
        pytest.param(1000, 0.6, (30, 30), (0, 0), id="deception"),
        pytest.param(60, 0.35, (0, 4), (0, 0), id="a little deception, too few pairs"),
    ],
)
def test_deception_exists_says_what_was_planted(pairs, score, holds, does_not):
    generator = np.random.default_rng(0)
    verdicts = [
        deception_exists([planted_cell(Truth(pairs, score), generator) for _ in range(3)]).verdict
        for _ in range(30)
    ]
    assert holds[0] <= verdicts.count(Verdict.HOLDS) <= holds[1]
    assert does_not[0] <= verdicts.count(Verdict.DOES_NOT) <= does_not[1]


def test_the_clearest_cell_is_told_where_no_cell_is_clear():
    rows = [cell(p=0.9), cell("a", "c", p=0.2), cell("b", "c", p=0.7)]
    assert "Clearest: simpo, a → c, explicit: DS 0.50" in deception_exists(rows).evidence[1]


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
        row | {"scenario": "dpo", "deception_score": row["deception_score"] + 0.8, **wider(row)}
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
    straight = cells_of("ab", lambda *pair: 0.5, seeds)
    changed = [
        row
        | {"student": "via_c", "through": "c", "deception_score": row["deception_score"] - lower}
        for row in straight
    ]
    assert bootstrapping_mitigates([*straight, *changed]).verdict == verdict
    assert bootstrapping_mitigates(straight).verdict == Verdict.TOO_LITTLE


def test_evidence_tells_a_change_with_its_sign():
    straight = cells_of("ab", lambda *pair: 0.5, (0, 1, 2))
    for change, told in ((-0.1, "by -0.100 [-0.100, -0.100]"), (0.1, "by +0.100 [+0.100")):
        changed = [
            row
            | {
                "student": "via_c",
                "through": "c",
                "deception_score": row["deception_score"] + change,
            }
            for row in straight
        ]
        (evidence,) = bootstrapping_mitigates([*straight, *changed]).evidence
        assert f"Bootstrapping changes DS {told}" in evidence


def test_holm_multiplies_by_the_hypotheses_left_and_never_falls():
    # 3 * 0.01; 2 * 0.02 = 0.04; 1 * 0.03 would fall to 0.03.
    assert holm([0.02, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1, 1]


def test_jackknife_covers_where_cells_share_models():
    generator = np.random.default_rng(0)
    models = "abcde"
    covered = 0
    for _ in range(200):
        weak, strong = ({m: generator.normal(0, 0.1) for m in models} for _ in range(2))
        rows = cells_of(models, lambda w, s, weak=weak, strong=strong: weak[w] + strong[s])
        bounds = jackknife_interval(
            rows, lambda some: float(np.mean([row["deception_score"] for row in some]))
        )
        assert bounds is not None
        covered += bounds[0] <= 0 <= bounds[1]
    assert covered / 200 >= 0.93
    assert len(models) >= LEAST_MODELS
