"""Which cells belong together, and in what order the report shows them."""

from collections.abc import Iterable, Sequence

from workflow_scripts.methods.students.student import DIRECT
from workflow_scripts.report.cells import GROUP, CellRow, by_strength

ModelPair = tuple[str, str]
"""The names of a weak and a strong model."""


def direct(rows: Iterable[CellRow]) -> list[CellRow]:
    """Return the cells whose students the weak model supervises directly, with all its labels."""
    return [row for row in rows if row["student"] == DIRECT]


def bootstrapped(rows: Iterable[CellRow]) -> list[CellRow]:
    """Return the cells whose students are supervised through intermediate models."""
    return [row for row in rows if row["through"] and row["filter"] is None]


def high_confidence(rows: Iterable[CellRow]) -> list[CellRow]:
    """Return the cells whose students see only the weak model's confident labels."""
    return [row for row in rows if row["filter"] is not None and not row["through"]]


def matched(variants: Iterable[CellRow], rows: Iterable[CellRow]) -> list[tuple[CellRow, CellRow]]:
    """Return each variant with its direct counterpart, the same cell and seed."""
    names = (*(name for name in GROUP if name != "student"), "seed")
    counterparts = {tuple(row[name] for name in names): row for row in direct(rows)}
    found = ((row, counterparts.get(tuple(row[name] for name in names))) for row in variants)
    return [(variant, counterpart) for variant, counterpart in found if counterpart]


def conflicting(rows: Iterable[CellRow]) -> list[CellRow]:
    """Return the cells that have a conflict, so that a tax is possible."""
    return [row for row in rows if row["conflict"] != "none"]


def by_cell(rows: Iterable[CellRow]) -> list[list[CellRow]]:
    """Group rows that differ in their seed alone."""
    groups: dict[tuple[str, ...], list[CellRow]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in GROUP), []).append(row)
    return list(groups.values())


def distinct(rows: Iterable[CellRow], column: str) -> list[str]:
    """Return the values of a column in order of first appearance."""
    return list(dict.fromkeys(row[column] for row in rows))


def conflict_order(rows: Iterable[CellRow]) -> list[str]:
    """Return the conflicts, `none` first even where it isn't drawn: each keeps its style."""
    return list(dict.fromkeys(["none", *distinct(rows, "conflict")]))


def ordered_pairs(rows: Iterable[CellRow]) -> list[ModelPair]:
    """Return the (weak, strong) pairs, from the weakest supervisor up, then the weakest student."""
    pairs = {(row["weak"], row["strong"]) for row in rows}
    order = by_strength({model for pair in pairs for model in pair}, pairs)
    return sorted(pairs, key=lambda pair: (order.index(pair[0]), order.index(pair[1])))


def most_seeds(rows: Iterable[CellRow]) -> int:
    """Return the number of seeds of the cell that has most."""
    return max(len(group) for group in by_cell(rows))


def count(numbers: Sequence[int]) -> str:
    """Write a number, or the range of several: '1,000' or '990 to 1,000'."""
    least, most = min(numbers), max(numbers)
    return f"{most:,}" if least == most else f"{least:,} to {most:,}"


def seed_counts(rows: Iterable[CellRow]) -> str:
    """Write how many seeds cells were run with."""
    numbers = [len(group) for group in by_cell(rows)]
    return "a single seed" if max(numbers) == 1 else f"{count(numbers)} seeds"
