"""The benchmark of a report of thousands of cells, in small."""

import re
import shutil
from pathlib import Path

import pytest

from tests.shared.benchmarks import run


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_every_stage_of_the_report_is_measured_and_its_page_opened(tmp_path: Path):
    told = run("report", tmp_path, "--repeats", 1, "--cells", 18, "--pairs", 60)
    for stage in ("cells", "tables", "figures", "page"):
        assert re.search(rf"^\| `{stage}` \| \d+\.\d+ \| \d+ \|", told, re.MULTILINE), stage
    assert "Chromium loads it in" in told
