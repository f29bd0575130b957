"""The table of cells on disk: written from the probes, read by the report."""

import csv
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_scripts.core.atomic import atomic_path
from workflow_scripts.core.files import columns_of, read_table
from workflow_scripts.measures.probe_file import read_probe
from workflow_scripts.report.cells import (
    GROUP,
    INFLUENCES,
    CellRow,
    CellRows,
    influences_of,
    rows_of,
    sorted_cells,
)

if TYPE_CHECKING:
    import pyarrow as pa


def read_cells(path: str, target: str | None = None) -> list[CellRow]:
    """Return the rows of a table of cells, all or one target's.

    Raises:
        UserError: if the table cannot be read.
    """
    table = read_table(path, columns_of(path))
    lists = [name for name in map(influences_of, INFLUENCES) if name in table.column_names]
    rows = table.drop_columns(lists).to_pylist()
    for name in lists:
        for row, found in zip(rows, table[name], strict=True):
            row[name] = found.values.to_numpy() if found.is_valid else None
    return [row for row in rows if target in (None, row["target"])]


def read_probes(paths: Iterable[str]) -> list[CellRows]:
    """Return the rows of probes, in the tables' order; only they are kept of thousands of probes.

    Raises:
        UserError: if a file is not a probe, or two are of one cell.
    """
    return sorted_cells(rows_of(path, read_probe(path)) for path in paths)


def reliability_table(cells: Iterable[CellRows]) -> "pa.Table":
    """Return one row a cell, model and bin of its confidence."""
    import pyarrow as pa

    return pa.Table.from_pylist([row for cell in cells for row in cell.bins])


def as_table(rows: Sequence[CellRow]) -> "pa.Table":
    """Return rows as an Arrow table: names as strings, counts as integers, figures as floats."""
    import pyarrow as pa

    types = (
        dict.fromkeys((*GROUP, "through", "kind", "lora_of", "probe", "length_rule"), pa.string())
        | dict.fromkeys(("seed", "pairs", "groups", "repeats_deceived", "repeats_both"), pa.int64())
        | {influences_of(name): pa.list_(pa.float64()) for name in INFLUENCES}
    )
    columns = _all_columns(rows)
    return pa.table(
        {
            name: pa.array([row.get(name) for row in rows], types.get(name, pa.float64()))
            for name in columns
        }
    )


def write_csv(path: Path | str, rows: Sequence[CellRow]) -> None:
    """Write rows as CSV, a null as an empty field; without the influences, which are lists."""
    with (
        atomic_path(path) as partial,
        partial.open("w", encoding="utf-8", newline="") as file,
    ):
        lists = {influences_of(name) for name in INFLUENCES}
        columns = [name for name in _all_columns(rows) if name not in lists]
        writer = csv.DictWriter(file, columns, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def _all_columns(rows: Iterable[CellRow]) -> list[str]:
    """Return the columns that any row has, in order of first appearance."""
    return list(dict.fromkeys(itertools.chain.from_iterable(rows)))
