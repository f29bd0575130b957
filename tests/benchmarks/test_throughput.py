"""The benchmarks of speed, in small: what they time does the same work."""

import json
from pathlib import Path

import pytest

from tests.shared.benchmarks import run
from tests.shared.workflows import HH

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HH.is_dir(), reason=f"{HH} is not here"),
]


def test_benchmarks_of_speed_run_and_all_contestants_have_the_same_losses(tmp_path: Path):
    some = tmp_path / "some/harmless_train_gt.jsonl"
    some.parent.mkdir()
    lines = (HH / some.name).read_text().splitlines(keepends=True)
    some.write_text("".join(lines[:200]))
    data = (tmp_path, "--data", some.parent)
    given = ("--sizes", "nothing", "--objectives", "dpo", "--steps", "1", "--threads", "1")
    told = run("throughput", *data, *given, "--contestants", "ours", "paper")
    assert "| nothing | dpo | paper |" in told
    ours, theirs = json.loads((tmp_path / "measurements.json").read_text())
    assert ours["losses"] == pytest.approx(theirs["losses"], abs=1e-5)
    parts = run("stages", *data, "--size", "nothing", "--pairs", "32")
    assert "| backward |" in parts
    assert "Snakemake's dry run of the whole demo" in parts
