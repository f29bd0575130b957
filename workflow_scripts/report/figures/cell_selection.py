"""What the report's figures share: which cells belong together, and in what order they appear."""

from collections.abc import Iterable, Sequence

from workflow_scripts.report.cell_table import GROUP, by_strength
from workflow_scripts.report.cells import Row

Pair = tuple[str, str]


def by_cell(rows: Iterable[Row]) -> list[list[Row]]:
    """Group rows that differ in their seed alone."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in GROUP), []).append(row)
    return list(groups.values())


def distinct(rows: Iterable[Row], column: str) -> list[str]:
    """Return the values of a column in order of first appearance."""
    return list(dict.fromkeys(row[column] for row in rows))


def conflict_order(rows: Iterable[Row]) -> list[str]:
    """Return the conflicts, `none` first even where it isn't drawn: each keeps its style."""
    return list(dict.fromkeys(["none", *distinct(rows, "conflict")]))


def ordered_pairs(rows: Iterable[Row]) -> list[Pair]:
    """Return the (weak, strong) pairs, from the weakest supervisor up, then the weakest student."""
    pairs = {(row["weak"], row["strong"]) for row in rows}
    order = by_strength({model for pair in pairs for model in pair}, pairs)
    return sorted(pairs, key=lambda pair: (order.index(pair[0]), order.index(pair[1])))


def most_seeds(rows: Iterable[Row]) -> int:
    """Return the number of seeds of the cell that has most."""
    return max(len(group) for group in by_cell(rows))


def count(numbers: Sequence[int]) -> str:
    """Return how many, or from how many to how many: '1,000' or '990 to 1,000'."""
    least, most = min(numbers), max(numbers)
    return f"{most:,}" if least == most else f"{least:,} to {most:,}"


def seed_counts(rows: Iterable[Row]) -> str:
    """Return over how many seeds each cell was run."""
    return f"{count([len(group) for group in by_cell(rows)])} seeds"
