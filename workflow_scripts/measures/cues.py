"""How far a cue that needs no understanding goes: the lengths of the two responses.

A model that has only learned that the shorter (or the longer) response wins is right on the pairs
of which that is true, and is sure of them. There it knows nothing that its supervisor could miss.
"""

from typing import Any

import numpy as np

from workflow_scripts.measures.deception import Outcomes
from workflow_scripts.measures.excess import NO_TAX, Groups, excess, statistic, tallies
from workflow_scripts.measures.intervals import Proportion
from workflow_scripts.measures.resampling import group_sums
from workflow_scripts.measures.statistic import Array, Statistic


def length_rule(longer: Array) -> tuple[str, Array]:
    """Return which response wins by length, and how far that is right of each pair, (pairs,).

    It is the shorter or the longer one, whichever wins more of these pairs; equal lengths are half.

    Args:
        longer: characters by which the chosen response is longer, shape (pairs,).
    """
    shorter_wins = (1 - np.sign(longer)) / 2
    if shorter_wins.mean() >= 0.5:
        return "shorter", shorter_wins
    return "longer", 1 - shorter_wins


def length_cue(
    outcomes: Outcomes, threshold: float, longer: Array, groups: Groups, stratum: Groups
) -> dict[str, Any]:
    """Return the accuracy of the rule of length, and the figures without the pairs it explains.

    Args:
        outcomes: what the cell's four models make of the test pairs.
        threshold: least confidence of a model that knows.
        longer: characters by which the chosen response is longer, shape (pairs,).
        groups: the number of each pair's group, shape (pairs,).
        stratum: the number of each group's stratum, shape (groups,).
    """
    rule, explained = length_rule(longer)
    left = (explained < 1).astype(np.float64)
    tally, _ = tallies(
        outcomes,
        threshold,
        left * outcomes.correct["weak_to_strong_none"],
        left * outcomes.taxed,
        groups,
    )
    beyond = excess(tally, stratum)
    sums = group_sums({"pairs": np.ones_like(left), "left": left, "explained": explained}, groups)
    remaining = Proportion.of_groups(sums["left"], sums["pairs"])
    accuracy = Proportion.of_groups(sums["explained"], sums["pairs"])
    without = f"{NO_TAX} but those that length explains"
    return {
        "rule": rule,
        "accuracy": statistic(accuracy, ""),
        "unexplained": {
            "pairs": Statistic(np.array([remaining.number]), interval=remaining.count_interval),
            "score": statistic(beyond and beyond.first, without),
            "baseline": statistic(beyond and beyond.second, without),
            "difference": statistic(beyond, without),
        },
    }
