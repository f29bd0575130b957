"""Is the same pair deceived again when all models are trained from another seed?

The share of deceived pairs that the seed before deceived, too, is a score of its own: compared with
the share that pairs drawn blindly within strata would have, as the deception score is.
"""

from dataclasses import dataclass, replace

import numpy as np

from workflow_scripts.measures.deception import DECEPTIVE, Outcomes, quadrant_masks
from workflow_scripts.measures.excess import Groups, excess, statistic
from workflow_scripts.measures.intervals import Bounded, Bounds, IntervalAt
from workflow_scripts.measures.nulls import Tally
from workflow_scripts.measures.resampling import group_sums
from workflow_scripts.measures.statistic import Statistic

NOT_REPEATED = "no pair was deceived"


@dataclass(frozen=True)
class Repeats:
    """How often pairs were deceived under two seeds.

    Attributes:
        pairs: that could be deceived in both: strong-known, weak-unknown, right without conflict.
        deceived: of these, how many were.
        before: of these, how many were under the seed before.
        tally: by group, with those deceived before as the marked ones.
    """

    pairs: int
    deceived: int
    before: int
    tally: Tally


def repeats(now: Outcomes, before: Outcomes, threshold: float, groups: Groups) -> Repeats:
    """Return how often pairs were deceived under this seed and under the one before.

    Args:
        now: what the cell's four models make of the test pairs.
        before: what the four models of the seed before make of them.
        threshold: least confidence of a model that knows.
        groups: the number of each pair's group, shape (pairs,).
    """
    inside = np.ones(len(groups), dtype=np.bool_)
    for outcomes in (now, before):
        inside &= quadrant_masks(outcomes, threshold)[DECEPTIVE]
        inside &= outcomes.correct["weak_to_strong_none"] == 1
    deceived, earlier = (inside & (outcomes.taxed == 1) for outcomes in (now, before))
    columns = {"right": inside, "marked": earlier, "taxed": deceived, "both": deceived & earlier}
    sums = group_sums({name: mask.astype(np.float64) for name, mask in columns.items()}, groups)
    return Repeats(
        int(inside.sum()),
        int(deceived.sum()),
        int(earlier.sum()),
        Tally(sums["right"], sums["marked"], sums["taxed"], sums["both"]),
    )


def repeats_figures(tally: Tally, stratum: Groups) -> dict[str, Statistic]:
    """Return the share of deceived pairs that were deceived before, by chance, and beyond it.

    Args:
        tally: by group, with those deceived before as the marked ones.
        stratum: the number of each group's stratum, shape (groups,).
    """
    beyond = excess(tally, stratum)
    baseline = statistic(beyond and beyond.second, NOT_REPEATED)
    if beyond is not None:
        baseline = replace(baseline, interval=_baseline_interval(beyond.second, tally))
    return {
        "share": statistic(beyond and beyond.first, NOT_REPEATED),
        "baseline": baseline,
        "difference": statistic(beyond, NOT_REPEATED),
    }


def _baseline_interval(baseline: Bounded, tally: Tally) -> IntervalAt:
    """Return the baseline's interval, no narrower than of as many pairs as the blind share's.

    Strata are cut from all groups that are right without conflict. A few of each have a pair that
    could be deceived in both seeds: too few for what they move to tell how much they differ.
    """
    blind = tally.blind
    of_blind = replace(blind, number=baseline.value * blind.of)

    def at(level: float) -> Bounds:
        (low, high), (lowest, highest) = baseline.interval(level), of_blind.interval(level)
        return min(low, lowest), max(high, highest)

    return at
