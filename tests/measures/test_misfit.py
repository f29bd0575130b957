"""Misfit, gain and covariance of errors, against derivations in plain float64."""

import math
from statistics import fmean

import numpy as np
import pytest

from workflow_scripts.measures.deception import MODELS, Outcomes
from workflow_scripts.measures.misfit import misfit, misfit_columns
from workflow_scripts.measures.resampling import percentile_interval, resampled_sums


def figures_of(margins, beta=None, groups=None, resamples=0):
    """Return the misfit's figures of margins of `MODELS`, each an array over resamples."""
    outcomes = Outcomes.of({name: np.array(z) for name, z in margins.items()}, beta)
    columns = misfit_columns(outcomes)
    of = np.arange(len(outcomes.taxed)) if groups is None else groups
    return misfit(resampled_sums(columns, of, resamples, np.random.default_rng(0)))


def drawn(pairs, seed=0):
    generator = np.random.default_rng(seed)
    ease = generator.normal(size=pairs)
    return {name: (ease + generator.normal(size=pairs)).tolist() for name in MODELS}


@pytest.mark.parametrize("beta", [None, 0.1])
def test_misfit_gain_and_covariance_are_those_of_a_plain_derivation(beta):
    margins = drawn(57)
    found = figures_of(margins, beta)
    sure = {
        name: [1 / (1 + math.exp(-(beta or 1) * z)) for z in of] for name, of in margins.items()
    }
    weak = sure["weak"]
    for name in ("weak_to_strong_none", "weak_to_strong"):
        student = sure[name]
        both = list(zip(weak, student, strict=True))
        mean_weak, mean_student = fmean(1 - w for w in weak), fmean(1 - s for s in student)
        expected = {
            "misfit": fmean((w - s) ** 2 for w, s in both),
            "squared_error_gain": fmean((1 - w) ** 2 for w in weak)
            - fmean((1 - s) ** 2 for s in student),
            "error_covariance": fmean(
                (1 - w - mean_weak) * (1 - s - mean_student) for w, s in both
            ),
        }
        for figure, value in expected.items():
            assert found[figure][name].values[0] == pytest.approx(value, rel=1e-12), figure


def test_a_resample_is_measured_as_if_it_were_the_test_set():
    """The columns are centred on the test set's means, which a resample does not have."""
    margins = drawn(40)
    groups = np.repeat([0, 1], 20)
    resampled = figures_of(margins, groups=groups, resamples=40)
    doubled = [
        figures_of({name: 2 * of[part] for name, of in margins.items()})
        for part in (slice(0, 20), slice(20, 40))
    ]
    for figure, by_student in resampled.items():
        whole, *again = by_student["weak_to_strong"].values
        once = [of[figure]["weak_to_strong"].values[0] for of in doubled]
        assert {round(value, 12) for value in again} == {
            round(float(value), 12) for value in (*once, whole)
        }


@pytest.mark.parametrize(("short", "equal"), [(1.0, True), (0.6, False)])
def test_the_closest_student_of_a_convex_class_gains_at_least_the_misfit(short, equal):
    """Theorem 1 of Charikar et al.: a segment of confidences 1 - t d, t from 0, has the truth."""
    generator = np.random.default_rng(1)
    direction, noise = generator.uniform(0.2, 0.5, 300), generator.uniform(-0.2, 0.2, 300)
    weak = 1 - direction - noise
    closest = float((1 - weak) @ direction / (direction @ direction))
    student = 1 - short * closest * direction
    logits = {"weak": weak, "weak_to_strong": student}
    margins = {name: np.log(of / (1 - of)) for name, of in logits.items()}
    found = figures_of(margins | dict.fromkeys(("strong", "weak_to_strong_none"), margins["weak"]))
    gain = found["squared_error_gain"]["weak_to_strong"].values[0]
    distance = found["misfit"]["weak_to_strong"].values[0]
    assert gain >= distance - 1e-12
    assert (gain == pytest.approx(distance)) == equal
    # A student that is its supervisor has neither.
    assert found["misfit"]["weak_to_strong_none"].values[0] == 0
    assert found["squared_error_gain"]["weak_to_strong_none"].values[0] == 0


def test_intervals_cover_the_truth_as_often_as_they_say():
    def figures(seed, pairs, resamples):
        groups = np.repeat(np.arange(pairs // 2), 2)
        margins = {n: np.repeat(z, 2) for n, z in drawn(pairs // 2, seed).items()}
        return figures_of(margins, groups=groups, resamples=resamples)

    truth = figures(10_000, 400_000, 0)
    for figure, by_student in truth.items():
        covered = 0
        for seed in range(200):
            values = figures(seed, 300, 200)[figure]["weak_to_strong"].values
            bounds = percentile_interval(values[1:], 0.95).bounds
            assert bounds is not None
            covered += bounds[0] <= by_student["weak_to_strong"].values[0] <= bounds[1]
        assert 0.9 <= covered / 200 <= 0.985, figure
