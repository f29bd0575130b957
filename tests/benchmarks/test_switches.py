"""The measurement of what a switch changes, in small."""

import json
import re
from pathlib import Path

import pytest

from tests.shared.benchmarks import run
from tests.shared.warm_process import Warm
from tests.shared.workflows import ROOT, TINY

QUICK = {"matrix": {"scenarios": ["reward_model"]}}


@pytest.mark.slow
def test_a_switch_is_told_with_the_models_that_it_changes(
    tmp_path: Path, warm_process: Warm, monkeypatch: pytest.MonkeyPatch
):
    for name, value in warm_process.variable.items():
        monkeypatch.setenv(name, value)
    profile = tmp_path / "profile"
    profile.mkdir()
    (profile / "quick.json").write_text(json.dumps(QUICK))
    files = [*(str(ROOT / name) for name in TINY[1:]), str(profile / "quick.json")]
    (profile / "config.yaml").write_text(json.dumps({"configfile": files, "cores": 2}))
    given = ("--strong", "middle", "--filter", "0.5", "--only", "head_init")
    told = run("switches", tmp_path / "runs", "--profile", profile, *given)
    # Every reward model begins with a head.
    assert re.search(r"^\| head_init \| (\d+) of \1 \| 0\.\d*[1-9]\d* \|", told, re.MULTILINE)
