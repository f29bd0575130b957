"""The table of thousands of cells: in little memory, from benchmarks.report's copies of probes."""

import json
import tracemalloc

import pytest

from tests.shared.probes import write_cells
from workflow_scripts.report.cells import Rows, cell_row, packed

pytestmark = pytest.mark.xdist_group("figures")


def test_a_cell_takes_little_memory_while_the_tables_are_made(probes, tmp_path):
    # Both with the imports done, so that the difference is the cells alone.
    peaks = []
    probe = json.loads(probes[0].read_text())
    for cells in (10, 10, 110):
        copies = []
        for seed in range(cells):
            copy = probe | {"settings": probe["settings"] | {"seed": seed}}
            copies.append(tmp_path / f"seed{seed}.json")
            copies[-1].write_text(json.dumps(copy))
        tracemalloc.start()
        write_cells(tmp_path, copies)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[2] - peaks[1]) / 100 < 40_000, "bytes a cell"


def test_packed_rows_are_the_rows_and_share_their_names(probes):
    rows = [cell_row(json.loads(path.read_text())) for path in probes[:3]]
    rows[1] = {"only": 1} | rows[1]
    kept = Rows(map(packed, rows))
    for name in ("deception_score", "only", "seed"):
        assert kept.column(name) == [row.get(name) for row in rows]
    assert [list(row) for row in kept] == [list(row) for row in rows]
    names = ["seed", "only"]
    assert [*kept.tuples(names)] == [tuple(map(row.get, names)) for row in rows]
    kept.put("seed", [7, 8, 9])
    assert [dict(row) for row in kept] == [
        row | {"seed": seed} for row, seed in zip(rows, (7, 8, 9), strict=True)
    ]
    first, _, third = map(packed, rows)
    assert first[0] is third[0]
