"""Processes that see the same GPUs take different ones."""

import os
import subprocess
import sys
from pathlib import Path

from tests.shared.workflows import ROOT

TAKE = """
import os, sys
from workflow_scripts.runtime import gpus
gpus.take(int(sys.argv[1]))
print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.read()
"""


def holder(folder: Path, count: int) -> subprocess.Popen[str]:
    """Start a process that takes GPUs of four and holds them until its input is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", TAKE, str(count)],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "0,1,2,3", "TMPDIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_each_process_takes_free_gpus_and_gives_them_back(tmp_path: Path):
    one, two = holder(tmp_path, 1), holder(tmp_path, 2)
    first, pair = said(one), said(two).split(",")
    assert len({first, *pair}) == 3
    [last] = {"0", "1", "2", "3"} - {first, *pair}
    three = holder(tmp_path, 1)
    assert said(three) == last
    # When all are taken they are shared.
    four = holder(tmp_path, 1)
    assert said(four) in {"0", "1", "2", "3"}
    one.communicate()
    five = holder(tmp_path, 1)
    assert said(five) == first
    for process in (two, three, four, five):
        process.communicate()
