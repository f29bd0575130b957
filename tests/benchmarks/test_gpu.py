"""The benchmark for a GPU, in small and on the CPU."""

from pathlib import Path

import pytest

from benchmarks.gpu import __main__ as gpu
from tests.shared.warm_process import Warm

pytestmark = pytest.mark.slow


def test_the_gpu_benchmark_runs_in_small_on_a_cpu_and_writes_its_table(
    tmp_path: Path, warm_process: Warm, monkeypatch: pytest.MonkeyPatch
):
    for name, value in warm_process.variable.items():
        monkeypatch.setenv(name, value)
    arguments = ["gpu", str(tmp_path), "--sizes", "nothing", "--scenarios", "simpo"]
    monkeypatch.setattr("sys.argv", [*arguments, "--steps", "2", "--threads", "1"])
    gpu.main()
    heading, _, *rows = (tmp_path / "gpu.md").read_text().splitlines()[2:]
    assert heading.strip("| ").split(" | ") == list(gpu.COLUMNS)
    # A CPU has no attention by blocks.
    (row,) = rows
    cells = dict(zip(gpu.COLUMNS, row.strip("| ").split(" | "), strict=True))
    assert [cells[name] for name in ("model", "scenario", "attention")] == [
        *("nothing", "simpo", "dense")
    ]
    assert float(cells["pairs/s"]) > 0
    assert 0 < float(cells["bfloat16 off by"]) < 0.1
    assert cells["same bytes resumed"] == "yes"
