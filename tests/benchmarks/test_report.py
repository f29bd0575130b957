"""The benchmark of a report of thousands of cells, in small."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared.workflows import ROOT


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_every_stage_of_the_report_is_measured_and_its_page_opened(tmp_path: Path):
    command = [sys.executable, "-m", "benchmarks.report", tmp_path, "--repeats", "1"]
    command += ["--cells", "18", "--pairs", "60"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-4000:]
    for stage in ("cells", "tables", "figures", "page"):
        assert re.search(rf"^\| `{stage}` \| \d+\.\d+ \| \d+ \|", ran.stdout, re.MULTILINE), stage
    assert "Chromium loads it in" in ran.stdout
