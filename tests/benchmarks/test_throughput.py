"""The benchmarks of speed, in small: what they time does the same work."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared.workflows import HH, ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HH.is_dir(), reason=f"{HH} is not here"),
]


def run(module: str, folder: Path, *arguments: str) -> str:
    """Run a benchmark on a model of next to nothing and return what it printed."""
    ran = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", folder, "--data", HH, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    return ran.stdout


def test_benchmarks_of_speed_run_and_all_contestants_have_the_same_losses(tmp_path: Path):
    given = ("--sizes", "nothing", "--objectives", "dpo", "--steps", "1", "--threads", "1")
    told = run("throughput", tmp_path, *given, "--contestants", "ours", "paper")
    assert "| nothing | dpo | paper |" in told
    ours, theirs = json.loads((tmp_path / "measurements.json").read_text())
    assert ours["losses"] == pytest.approx(theirs["losses"], abs=1e-5)
    parts = run("stages", tmp_path, "--size", "nothing", "--pairs", "32")
    assert "| backward |" in parts
    assert "Snakemake's dry run of the whole demo" in parts
