"""Each of the paper's claims under every specification: threshold, score, null and seed.

A claim that hangs on one choice among many is worth little (Simonsohn, Simmons and Nelson 2020).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from workflow_scripts.report.cells import EXCESS, CellRow
from workflow_scripts.report.claims import GAP, SMALLEST_EFFECT, gap_rows, gap_slope
from workflow_scripts.report.replication import mean
from workflow_scripts.report.selection import bootstrapped, conflicting, direct, matched

SCORES = {"DS": "deception", "DS_S": "deception_strong_known"}
NULLS = {
    "blind": "difference",
    "stratified": "stratified_difference",
    "placebo": "placebo_difference",
}
CLAIMS = {
    "exists": "mean excess",
    "grows with the gap": "rise over the gaps",
    "bootstrapping mitigates": "mean reduction",
}
"""The claims, and what each is about."""
_SWEPT = re.compile(rf"{EXCESS}_at_(0\.\d+)")


@dataclass(frozen=True)
class Specification:
    """A choice of how a claim is tested, and what comes of it.

    Attributes:
        claim: a key of `CLAIMS`.
        threshold: least confidence of a model that knows.
        score: a key of `SCORES`.
        null: a key of `NULLS`.
        seed: of the cells.
        effect: what the claim is about.
        stands: whether that is `SMALLEST_EFFECT` or more, for the first claim in most cells with an
            interval above 0.
    """

    claim: str
    threshold: float
    score: str
    null: str
    seed: int
    effect: float
    stands: bool


def specifications(rows: Sequence[CellRow]) -> list[Specification]:
    """Return every specification of every claim that a target's cells determine."""
    swept = sorted({float(m[1]) for row in rows for name in row if (m := _SWEPT.fullmatch(name))})
    found = []
    for seed in sorted({row["seed"] for row in rows}):
        of_seed = [row for row in rows if row["seed"] == seed]
        for threshold in swept:
            for score, score_part in SCORES.items():
                for null, null_part in NULLS.items():
                    column = f"excess_{score_part}_{null_part}_at_{threshold:g}"
                    for claim, effect, stands in _tested(of_seed, column):
                        found.append(
                            Specification(claim, threshold, score, null, seed, effect, stands)
                        )
    return found


def _tested(rows: Sequence[CellRow], column: str) -> list[tuple[str, float, bool]]:
    """Return each claim that a column of one seed's cells determines: effect, and if it stands."""
    cells = [row for row in conflicting(direct(rows)) if row.get(column) is not None]
    if not cells:
        return []
    exists, grows, mitigates = CLAIMS
    beyond = [
        row for row in cells if row[column] >= SMALLEST_EFFECT and (row[f"{column}_low"] or 0.0) > 0
    ]
    effect = float(mean(row[column] for row in cells))
    found = [(exists, effect, 2 * len(beyond) > len(cells))]
    with_gap = [row for row in gap_rows(cells) if row[column] is not None]
    slope = gap_slope(with_gap, column) if with_gap else None
    if slope is not None:
        gaps = [row[GAP] for row in with_gap]
        rise = slope * (max(gaps) - min(gaps))
        found.append((grows, rise, rise >= SMALLEST_EFFECT))
    changes = [
        counterpart[column] - variant[column]
        for variant, counterpart in matched(bootstrapped(conflicting(rows)), rows)
        if variant.get(column) is not None and counterpart.get(column) is not None
    ]
    if changes:
        reduction = float(mean(changes))
        found.append((mitigates, reduction, reduction >= SMALLEST_EFFECT))
    return found
