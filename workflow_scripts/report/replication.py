"""Estimates over cells, with their uncertainty over models or over seeds.

Cells share models, so they are not independent. Intervals answer one of two questions: would the
same be found with other models, or with these models trained again from other seeds and measured
on other test pairs? Seeds share one set of test pairs, so how much they differ from one another
says nothing of what other pairs would change; the cells' own intervals over pairs do.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from workflow_scripts.measures.intervals import t_interval
from workflow_scripts.report.cells import GROUP, LEVEL, CellRow

CellStatistic = Callable[[Sequence[CellRow]], float | None]
"""A number from cells; None where they don't determine it."""

LEAST_MODELS = 4
LEAST_SEEDS = 3


@dataclass(frozen=True)
class Estimate:
    """A number from all cells.

    Attributes:
        value: the number.
        interval: its 95 % interval, or none.
        basis: what the interval generalises over; without an interval, what is missing for it.
    """

    value: float
    interval: tuple[float, float] | None
    basis: str


def estimate(rows: Sequence[CellRow], statistic: CellStatistic, column: str) -> Estimate | None:
    """Return a statistic of cells and its interval over models or, failing that, over seeds.

    None where the cells don't determine it.

    Args:
        rows: cells, a row a seed.
        statistic: linear in ``column``.
        column: what it is a statistic of.
    """
    value = statistic(rows)
    if value is None:
        return None
    models = {model for row in rows for model in (row["weak"], row["strong"])}
    interval = jackknife_interval(rows, statistic) if len(models) >= LEAST_MODELS else None
    if interval:
        return Estimate(value, interval, f"over {len(models)} models (jackknife)")
    seeds = {row["seed"] for row in rows}
    by_seed = [statistic([row for row in rows if row["seed"] == seed]) for seed in sorted(seeds)]
    values = [found for found in by_seed if found is not None]
    pairs = pairs_error(rows, statistic, column)
    if len(values) >= LEAST_SEEDS and pairs is not None:
        mean, low, _ = t_interval(values)
        assert mean is not None
        assert low is not None
        half = math.hypot(mean - low, pairs)
        basis = f"over {len(values)} seeds of these models (t) and test pairs"
        return Estimate(mean, (mean - half, mean + half), basis)
    lacking = (
        f"{len(models)} models and {len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'}: "
        f"an interval needs {LEAST_MODELS} models or {LEAST_SEEDS} seeds"
    )
    if len(values) >= LEAST_SEEDS:
        lacking = "a cell has no interval over test pairs"
    return Estimate(value, None, lacking)


def pairs_error(rows: Sequence[CellRow], statistic: CellStatistic, column: str) -> float | None:
    """Return half the width of a statistic's 95 % interval over test pairs.

    Each cell's own interval is taken as what all of its seeds share, as if every seed taxed the
    same pairs; cells count as independent. None where a cell has no interval.
    """
    value = statistic(rows)
    cells: dict[tuple[Any, ...], list[int]] = {}
    for place, row in enumerate(rows):
        cells.setdefault(tuple(row[name] for name in GROUP), []).append(place)
    halves = [half_width(row, column) for row in rows]
    squares = 0.0
    for places in cells.values():
        shifted = [dict(row) for row in rows]
        for place in places:
            half = halves[place]
            if half is None:
                return None
            shifted[place][column] += half
        moved = statistic(shifted)
        if moved is None or value is None:
            return None
        squares += (moved - value) ** 2
    return math.sqrt(squares)


def half_width(row: CellRow, column: str) -> float | None:
    """Return half the width of a figure's interval over test pairs; None without one."""
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    return None if low is None else (high - low) / 2


def jackknife_interval(
    rows: Sequence[CellRow], statistic: CellStatistic
) -> tuple[float, float] | None:
    """Return a 95 % interval from leaving out each model, with all of its cells, in turn.

    It is the delete-one jackknife over models, conservative where each cell has noise of its own
    (Efron and Stein 1981). A model may be on either side of a cell, so there are two degrees of
    freedom fewer than models.
    """
    value = statistic(rows)
    models = {model for row in rows for model in (row["weak"], row["strong"])}
    left = [
        statistic([row for row in rows if model not in (row["weak"], row["strong"])])
        for model in sorted(models)
    ]
    determined = [found for found in left if found is not None]
    if value is None or len(determined) < len(models):
        return None
    from scipy.special import stdtrit

    count, mean = len(left), fmean(determined)
    squares = math.fsum((found - mean) ** 2 for found in determined)
    error = math.sqrt((count - 1) / count * squares)
    half = float(stdtrit(count - 2, (1 + LEVEL) / 2)) * error
    return value - half, value + half


def mean_over_seeds(
    rows: Iterable[CellRow], columns: Sequence[str], cell: Sequence[str]
) -> list[CellRow]:
    """Return one row a cell, each column its mean over the seeds that define all of them."""
    groups: dict[tuple[Any, ...], list[CellRow]] = {}
    for row in rows:
        if all(row[column] is not None for column in columns):
            groups.setdefault(tuple(row[name] for name in cell), []).append(row)
    return [
        dict(zip(cell, names, strict=True))
        | {column: fmean(row[column] for row in group) for column in columns}
        for names, group in groups.items()
    ]
