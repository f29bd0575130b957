"""p-values: adjusted for their number, and as every table, page and terminal writes them."""

from collections.abc import Sequence

from workflow_scripts.report.cells import P_VALUE, PLACEBO_P_VALUE, CellRow


def written(p: float | None) -> str:
    """Write a p-value. A permutation test shows little more than that it is below 0.001."""
    if p is None:
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def larger_p(row: CellRow) -> float | None:
    """Return a cell's p: of the stratified null or, if that is larger, of the placebo."""
    found = [p for p in (row[P_VALUE], row.get(PLACEBO_P_VALUE)) if p is not None]
    return max(found) if row[P_VALUE] is not None else None


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm's step-down method (1979), in order.

    Whatever their dependence, the chance of any wrong rejection stays below the level.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    raised = [1.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        raised[place] = largest
    return raised


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Benjamini and Hochberg's step-up method (1995), in order.

    Of all that are below a level, about that share is there by chance.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__, reverse=True)
    raised = [1.0] * len(p_values)
    least = 1.0
    for above, place in enumerate(order):
        least = min(least, len(p_values) / (len(p_values) - above) * p_values[place])
        raised[place] = least
    return raised


def adjusted(rows: Sequence[CellRow]) -> list[float | None]:
    """Return the rows' `ADJUSTED` p-values, None where a row has none of its own."""
    tested: dict[str, dict[int, float]] = {}
    for place, row in enumerate(rows):
        if (p := larger_p(row)) is not None:
            tested.setdefault(row["target"], {})[place] = p
    by_place: dict[int, float] = {}
    for found in tested.values():
        by_place.update(zip(found, benjamini_hochberg(list(found.values())), strict=True))
    return [by_place.get(place) for place in range(len(rows))]
