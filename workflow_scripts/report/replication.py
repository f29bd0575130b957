"""Estimates over cells, with their uncertainty over models or seeds, and over test pairs.

Cells share models, so they are not independent. Intervals answer one of two questions: would the
same be found with other models, or with these models trained again from other seeds? Either way
measured on other test pairs, too: all cells of a target share one set of these, so how much cells
or seeds differ from one another says nothing of what other pairs would change. The influence of
each group of pairs on each cell does.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import Any

import numpy as np

from workflow_scripts.measures.intervals import Influences, t_interval
from workflow_scripts.report.cells import BLIND, EXCESS, LEVEL, SCORE, CellRow, influences_of

CellStatistic = Callable[[Sequence[CellRow]], Any]
"""A number from cells; None where they don't determine it. Of a column of arrays, an array."""

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
        statistic: linear in ``column``: of so much more it is so much more.
        column: what it is a statistic of.
    """
    value = statistic(rows)
    if value is None:
        return None
    models = models_of(rows)
    pairs = pairs_error(rows, statistic, column)
    interval = jackknife_interval(rows, statistic)
    if interval and pairs is not None:
        half = math.hypot((interval[1] - interval[0]) / 2, pairs)
        basis = f"over {len(models)} models (jackknife) and groups of test pairs"
        return Estimate(value, (value - half, value + half), basis)
    seeds = {row["seed"] for row in rows}
    by_seed = [statistic([row for row in rows if row["seed"] == seed]) for seed in sorted(seeds)]
    values = [found for found in by_seed if found is not None]
    if len(values) >= LEAST_SEEDS and pairs is not None:
        mean, low, _ = t_interval(values)
        assert mean is not None
        assert low is not None
        half = math.hypot(mean - low, pairs)
        basis = f"over {len(values)} seeds of these models (t) and groups of test pairs"
        return Estimate(mean, (mean - half, mean + half), basis)
    lacking = (
        f"{len(models)} models and {len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'}: "
        f"an interval needs {LEAST_MODELS} models or {LEAST_SEEDS} seeds"
    )
    if len(values) >= LEAST_SEEDS or len(models) >= LEAST_MODELS:
        lacking = "too few models without one of them, or a cell without a tax"
    return Estimate(value, None, lacking)


def pairs_error(rows: Sequence[CellRow], statistic: CellStatistic, column: str) -> float | None:
    """Return half the width of a statistic's 95 % interval over groups of test pairs.

    It adds up what each group moves in all cells and seeds, so that groups which these share are
    not taken for others. None where a cell has no influences.

    Args:
        rows: cells of one target.
        statistic: linear in ``column``.
        column: what it is a statistic of.
    """
    moved = moves(rows, statistic, column)
    return None if moved is None else NormalDist().inv_cdf((1 + LEVEL) / 2) * error_of(moved)


def moves(rows: Sequence[CellRow], statistic: CellStatistic, column: str) -> Influences | None:
    """Return how much each group moves a statistic, shape (groups,), as `pairs_error`.

    The statistic is linear, so it is the same statistic of how much the group moves each cell.
    """
    of_rows = [influences(row, column) for row in rows]
    if any(of_row is None for of_row in of_rows):
        return None
    return statistic([{**row, column: of} for row, of in zip(rows, of_rows, strict=True)])


def influences(row: CellRow, column: str) -> Influences | None:
    """Return how much each group moves a row's DS, b or excess, (groups,); None if untaxed."""
    if column != EXCESS:
        found = row[influences_of(column)]
        return None if found is None else np.asarray(found)
    score, blind = (influences(row, part) for part in (SCORE, BLIND))
    return None if score is None or blind is None else score - blind


def difference(first: CellRow, second: CellRow, columns: Iterable[str]) -> CellRow:
    """Return one row's columns less another's, with each group's influence on DS's and b's."""
    less = {**first, **{column: first[column] - second[column] for column in columns}}
    for column in (SCORE, BLIND):
        of_first, of_second = (influences(row, column) for row in (first, second))
        known = None if of_first is None or of_second is None else of_first - of_second
        less[influences_of(column)] = known
    return less


def error_of(moved: Influences) -> float:
    """Return a figure's standard error over groups, from how much each group moves it."""
    groups = int(np.count_nonzero(moved))
    return float(math.sqrt(moved @ moved * groups / (groups - 1))) if groups > 1 else 0.0


def jackknife_interval(
    rows: Sequence[CellRow], statistic: CellStatistic
) -> tuple[float, float] | None:
    """Return a 95 % interval from leaving out each model, with all of its cells, in turn.

    It is the delete-one jackknife over models, conservative where each cell has noise of its own
    (Efron and Stein 1981). A model may be on either side of a cell, so there are two degrees of
    freedom fewer than models.
    """
    value, error = statistic(rows), jackknife_error(rows, statistic)
    if value is None or error is None:
        return None
    from scipy.special import stdtrit

    half = float(stdtrit(len(models_of(rows)) - 2, (1 + LEVEL) / 2)) * error
    return value - half, value + half


def jackknife_error(rows: Sequence[CellRow], statistic: CellStatistic) -> float | None:
    """Return a standard error over models, as `jackknife_interval`; None where undefined."""
    models = models_of(rows)
    if len(models) < LEAST_MODELS:
        return None
    left = [[row for row in rows if model not in (row["weak"], row["strong"])] for model in models]
    found = [value for kept in left if kept and (value := statistic(kept)) is not None]
    if len(found) < len(models):
        return None
    squares = math.fsum((value - fmean(found)) ** 2 for value in found)
    return math.sqrt((len(models) - 1) / len(models) * squares)


def models_of(rows: Iterable[CellRow]) -> list[str]:
    """Return the names of all models of cells, sorted."""
    return sorted({model for row in rows for model in (row["weak"], row["strong"])})


def mean(values: Iterable[Any]) -> Any:
    """Return the mean of numbers, or of arrays of one shape."""
    found = list(values)
    return sum(found) / len(found)


def mean_of(column: str) -> CellStatistic:
    """Return the statistic that is the mean of a column over cells; None without cells."""
    return lambda cells: mean(row[column] for row in cells) if cells else None


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
        | {column: mean(row[column] for row in group) for column in columns}
        for names, group in groups.items()
    ]
