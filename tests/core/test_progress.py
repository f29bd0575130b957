"""How far a run's jobs have come reaches its terminal, or is a line a minute."""

import contextlib
import io
import logging
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.shared.workflows import ROOT
from workflow_scripts.core.progress import FOLDER_VARIABLE, Progress, Reached
from workflow_scripts.job_progress import JobProgress

TITLE = "ground_truth/substances/simpo/middle/small"
JOB = f"""
import sys
from workflow_scripts.core.progress import Progress
Progress._REFRESH = 0
progress = Progress({TITLE!r}, 100, "steps")
progress.reach(40, "loss 0.6931")
print("reached", flush=True)
sys.stdin.read()
progress.close()
"""


def job() -> subprocess.Popen[str]:
    """Start a job that has come some way, of the run whose folder is in the environment."""
    started = subprocess.Popen(
        [sys.executable, "-c", JOB],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "reached\n"
    return started


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_without_a_terminal_each_running_job_is_a_line_a_minute(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Progress, "SILENCE", 0.2)
    said = io.StringIO()
    shown = JobProgress(logging.getLogger("unheard"), said)
    line = TITLE + r": 40 of 100 steps, loss 0\.6931, \d:\d\d:\d\d left\n"
    first, killed = job(), job()
    until(lambda: len(re.findall(line, said.getvalue())) >= 4)
    killed.kill()
    killed.communicate()
    first.communicate()
    folder = Path(os.environ[FOLDER_VARIABLE])
    until(lambda: not list(folder.glob("*.json")))
    shown.end()
    assert FOLDER_VARIABLE not in os.environ
    assert not folder.exists()
    assert re.fullmatch(f"({line})+", said.getvalue())


def test_on_a_terminal_each_job_is_a_bar_below_what_snakemake_prints():
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    terminal = os.fdopen(theirs, "w")
    logger = logging.Logger("snakemake")
    handler = logging.StreamHandler(terminal)
    logger.addHandler(handler)
    seen = ""

    def printed(pattern: str) -> bool:
        nonlocal seen
        with contextlib.suppress(BlockingIOError):
            seen += os.read(ours, 65536).decode(errors="replace")
        return re.search(pattern, seen) is not None

    shown = JobProgress(logger, terminal)
    running = job()
    until(
        lambda: printed(r"…\S*/simpo/middle/small.*40/100.*steps, loss 0\.6931, \d:\d\d:\d\d left")
    )
    long = "results/" + "a_long_name/" * 20
    logger.info(f"Job 3 is done: {long}")
    until(lambda: printed(f"Job 3 is done: {long}"))
    running.communicate()
    shown.end()
    assert handler.stream is terminal


def test_a_job_says_nothing_where_nobody_asks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    said = io.StringIO()
    progress = Progress("scoring", 10, "texts", said)
    progress.reach(5)
    progress.close()
    assert said.getvalue() == ""
    assert Reached("scoring", 5, 10, "texts").line() == "scoring: 5 of 10 texts"
