"""Processes that see the same GPUs take different ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared.workflows import ROOT

TAKE = """
import os, pwd, sys
def unknown(user):
    raise KeyError(user)
pwd.getpwuid = unknown  # as in a container whose user has no entry
from workflow_scripts.runtime import gpus
gpus.take(int(sys.argv[1]))
print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.read()
"""


def holder(folder: Path, count: int, **more: str) -> subprocess.Popen[str]:
    """Start a process that takes GPUs of four and holds them until its input is closed."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", TAKE, str(count)],
        cwd=folder,
        env=environment | {"CUDA_VISIBLE_DEVICES": "0,1,2,3"} | more,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("runtime", [True, False])
def test_each_process_takes_free_gpus_and_gives_them_back(runtime: bool, tmp_path: Path):
    more = {"XDG_RUNTIME_DIR": str(tmp_path)} if runtime else {}
    one, two = holder(tmp_path, 1, **more), holder(tmp_path, 2, **more)
    first, pair = said(one), said(two).split(",")
    assert len({first, *pair}) == 3
    [last] = {"0", "1", "2", "3"} - {first, *pair}
    three = holder(tmp_path, 1, **more)
    assert said(three) == last
    # When all are taken they are shared.
    four = holder(tmp_path, 1, **more)
    assert said(four) in {"0", "1", "2", "3"}
    one.communicate()
    five = holder(tmp_path, 1, **more)
    assert said(five) == first
    for process in (two, three, four, five):
        process.communicate()
    assert bool(list(tmp_path.glob("w2s-local-gpu-*.lock"))) == runtime
    assert bool(list(tmp_path.glob("results/.locks/*/w2s-local-gpu-*.lock"))) != runtime


def test_what_other_users_leave_in_common_folders_is_in_no_ones_way(tmp_path: Path):
    """Such as a lock of this name in the temporary folder, or a runtime folder of another user."""
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for gpu in range(4):
        (foreign / f"w2s-local-gpu-{gpu}.lock").mkdir()
    runtime = "/"
    if os.getuid() == 0:
        os.chown(foreign, 12345, -1)
        runtime = str(foreign)
    process = holder(tmp_path, 1, TMPDIR=str(foreign), XDG_RUNTIME_DIR=runtime)
    assert said(process) == "0"
    process.communicate()
    assert list(tmp_path.glob("results/.locks/*/w2s-local-gpu-0.lock"))


def test_gpus_that_cannot_be_locked_are_shared(tmp_path: Path):
    (tmp_path / "results").write_text("")
    process = holder(tmp_path, 2)
    assert said(process) == "0,1"
    process.communicate()
