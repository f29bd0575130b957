"""The table of cells as the report reads it: rows, and which students belong together."""

from collections.abc import Iterable, Mapping
from typing import Any

from workflow_scripts.core.files import columns_of, read_table
from workflow_scripts.methods.students.student import DIRECT
from workflow_scripts.report.cell_table import GROUP

Row = Mapping[str, Any]


def read_cells(path: str, target: str | None = None) -> list[Row]:
    """Return the rows of a table of cells, all or one target's.

    Raises:
        UserError: if the table cannot be read.
    """
    rows = read_table(path, columns_of(path)).to_pylist()
    return [row for row in rows if target in (None, row["target"])]


def direct(rows: Iterable[Row]) -> list[Row]:
    """Return the cells whose students the weak model supervises directly, with all its labels."""
    return [row for row in rows if row["student"] == DIRECT]


def bootstrapped(rows: Iterable[Row]) -> list[Row]:
    """Return the cells whose students are supervised through intermediate models."""
    return [row for row in rows if row["through"] and row["filter"] is None]


def high_confidence(rows: Iterable[Row]) -> list[Row]:
    """Return the cells whose students see the weak model's confident labels alone."""
    return [row for row in rows if row["filter"] is not None and not row["through"]]


def matched(variants: Iterable[Row], rows: Iterable[Row]) -> list[tuple[Row, Row]]:
    """Return each variant with its direct counterpart, the same cell and seed."""
    names = (*(name for name in GROUP if name != "student"), "seed")
    by_cell = {tuple(row[name] for name in names): row for row in direct(rows)}
    found = ((row, by_cell.get(tuple(row[name] for name in names))) for row in variants)
    return [(variant, counterpart) for variant, counterpart in found if counterpart]


def conflicting(rows: Iterable[Row]) -> list[Row]:
    """Return the cells that have a conflict, so that a tax is possible."""
    return [row for row in rows if row["conflict"] != "none"]
