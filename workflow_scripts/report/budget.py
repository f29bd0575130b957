"""What the uncertainty of a run's mean excess consists of, and what more data would buy.

Seeds, test pairs and models each have a part of it, and the parts' variances add up: seeds and
pairs are crossed, since all seeds share the pairs. A part shrinks with the root of its number.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist, stdev

from workflow_scripts.report.cells import EXCESS, LEVEL, CellRow
from workflow_scripts.report.replication import (
    error_of,
    jackknife_error,
    mean,
    models_of,
    moves,
)
from workflow_scripts.report.selection import conflicting, direct


@dataclass(frozen=True)
class Part:
    """A part of the uncertainty.

    Attributes:
        source: what it comes from, in the plural.
        number: how many of these the run has.
        error: standard error of the mean excess from this source; None where they are too few.
        doubled: half of the 95 % interval from all parts, had the run twice as many of these.
    """

    source: str
    number: int
    error: float | None
    doubled: float | None


@dataclass(frozen=True)
class Budget:
    """The mean excess of a run's cells, and its uncertainty.

    Attributes:
        excess: the mean over direct students' cells with a tax.
        cells: how many these are, a seed each.
        half: half of its 95 % interval, from all parts that are known.
        parts: of the uncertainty.
    """

    excess: float
    cells: int
    half: float
    parts: tuple[Part, ...]


def budget(rows: Iterable[CellRow]) -> Budget | None:
    """Return the budget of a target's cells; None without a tax."""
    cells = [row for row in conflicting(direct(rows)) if row[EXCESS] is not None]
    if not cells:
        return None
    of_groups = moves(cells, _mean_excess, EXCESS)
    by_seed = [
        _mean_excess([row for row in cells if row["seed"] == seed])
        for seed in sorted({row["seed"] for row in cells})
    ]
    errors = {
        "groups of test pairs": (
            max(row["groups"] for row in cells),
            None if of_groups is None else error_of(of_groups),
        ),
        "seeds": (
            len(by_seed),
            stdev(by_seed) / math.sqrt(len(by_seed)) if len(by_seed) > 1 else None,
        ),
        "models": (len(models_of(cells)), jackknife_error(cells, _mean_excess)),
    }
    variances = {source: (error or 0.0) ** 2 for source, (_, error) in errors.items()}
    z, total = NormalDist().inv_cdf((1 + LEVEL) / 2), sum(variances.values())
    parts = [
        Part(
            source,
            number,
            error,
            None if error is None else z * math.sqrt(total - variances[source] / 2),
        )
        for source, (number, error) in errors.items()
    ]
    return Budget(_mean_excess(cells), len(cells), z * math.sqrt(total), tuple(parts))


def _mean_excess(cells: Iterable[CellRow]) -> float:
    return mean(row[EXCESS] for row in cells)
