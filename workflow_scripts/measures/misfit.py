"""How far students are from their weak supervisor, and whether both err on the same pairs.

On the pairs' confidences in the true choice, as columns and sums like those of `deception.py`.
"""

from collections.abc import Mapping

import numpy as np

from workflow_scripts.measures.deception import MODELS, Outcomes
from workflow_scripts.measures.statistic import Array, Statistic, Sum

WEAK = MODELS[0]
STUDENTS = MODELS[2:]


def misfit_columns(outcomes: Outcomes) -> dict[str, Array]:
    """Return the columns that `misfit` needs, each of shape (pairs,)."""
    weak = outcomes.confidence[WEAK]
    columns = {"pairs": np.ones_like(weak), "centred weak": weak - weak.mean()}
    for name in STUDENTS:
        student = outcomes.confidence[name]
        centred = student - student.mean()
        columns[f"distance {name}"] = (weak - student) ** 2
        columns[f"gain {name}"] = (1 - weak) ** 2 - (1 - student) ** 2
        columns[f"centred {name}"] = centred
        columns[f"product {name}"] = columns["centred weak"] * centred
    return columns


def misfit(sums: Mapping[str, Sum]) -> dict[str, dict[str, Statistic]]:
    """Return misfit, gain and covariance of errors with the weak ceiling, each by student.

    With w and s the confidences of the weak ceiling and of the student in the true choice, whose
    errors are 1 - w and 1 - s:

    - ``misfit``: the mean of (w - s)², how far the student is from its supervisor (Charikar et al.
      2024, arXiv 2405.15116);
    - ``squared_error_gain``: the mean of (1 - w)² less that of (1 - s)². Their theorem 1: it is at
      least the misfit, if the student is the one closest to its supervisor in a convex class that
      has the truth;
    - ``error_covariance``: that of both errors over pairs, which is that of w and s.

    Args:
        sums: sums of `misfit_columns`.
    """
    pairs = sums["pairs"].values

    def mean(column: str) -> Array:
        return sums[column].values / pairs

    def covariance(student: str) -> Array:
        return mean(f"product {student}") - mean("centred weak") * mean(f"centred {student}")

    return {
        "misfit": {name: Statistic(mean(f"distance {name}")) for name in STUDENTS},
        "squared_error_gain": {name: Statistic(mean(f"gain {name}")) for name in STUDENTS},
        "error_covariance": {name: Statistic(covariance(name)) for name in STUDENTS},
    }
