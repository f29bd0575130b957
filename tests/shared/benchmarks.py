"""Runs of the benchmarks, each in a process of its own."""

import subprocess
import sys

from tests.shared.workflows import ROOT


def run(module: str, *arguments: object) -> str:
    """Run a benchmark and return what it printed."""
    ran = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    return ran.stdout
