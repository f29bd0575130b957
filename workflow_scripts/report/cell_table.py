"""The table of cells on disk: written from the probes, read by the report."""

import csv
import gc
import sys
from collections.abc import Iterable, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from workflow_scripts.core.atomic import atomic_path
from workflow_scripts.core.files import columns_of, read_table
from workflow_scripts.measures.probe_file import read_probe
from workflow_scripts.report.cells import (
    GROUP,
    INFLUENCES,
    CellRow,
    CellRows,
    Rows,
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
    # What JSON becomes has no cycles; looking for them takes longer than reading.
    gc.disable()
    try:
        return sorted_cells(rows_of(path, read_probe(path)) for path in paths)
    finally:
        gc.enable()


def reliability_table(cells: Sequence[CellRows]) -> "pa.Table":
    """Return one row a cell, model and bin of its confidence."""
    pa = _pyarrow()
    parts = [
        pa.Table.from_pylist([row for cell in cells[first : first + 100] for row in cell.bins()])
        for first in range(0, len(cells), 100)
    ]
    return pa.concat_tables(parts, promote_options="permissive").combine_chunks()


def as_table(rows: Rows) -> "pa.Table":
    """Return rows as an Arrow table: names as strings, counts as integers, figures as floats."""
    pa = _pyarrow()
    types = (
        dict.fromkeys((*GROUP, "through", "kind", "lora_of", "probe", "length_rule"), pa.string())
        | dict.fromkeys(("seed", "pairs", "groups", "repeats_deceived", "repeats_both"), pa.int64())
        | {influences_of(name): pa.list_(pa.float64()) for name in INFLUENCES}
    )
    return pa.table(
        {
            name: pa.array(rows.column(name), types.get(name, pa.float64()))
            for name in rows.columns()
        }
    )


def _pyarrow() -> ModuleType:
    """Return pyarrow for thousands of cells, in 80 MB and half a second less.

    It would import pandas to know its objects, and its own allocator keeps more than is used.
    """
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())
    if "pandas" not in sys.modules:
        finder = _WithoutPandas()
        sys.meta_path.insert(0, finder)
        try:
            pa.array([])  # it looks for pandas once
        finally:
            sys.meta_path.remove(finder)
    return pa


class _WithoutPandas(MetaPathFinder):
    """Finds that pandas isn't installed."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Refuse pandas, and leave all else to other finders."""
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname)


def write_csv(path: Path | str, rows: Rows) -> None:
    """Write rows as CSV, a null as an empty field; without the influences, which are lists."""
    with (
        atomic_path(path) as partial,
        partial.open("w", encoding="utf-8", newline="") as file,
    ):
        lists = {influences_of(name) for name in INFLUENCES}
        columns = [name for name in rows.columns() if name not in lists]
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows.tuples(columns))
