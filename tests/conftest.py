"""What the workflow's tests share: real runs of Snakemake in temporary folders."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from workflow_scripts import warm

ROOT = Path(__file__).parents[1]
SNAKEMAKE = Path(sys.executable).with_name("snakemake")

Snakemake = Callable[..., subprocess.CompletedProcess[str]]


class Warm(NamedTuple):
    """A process that forks for every stage: its id, and the environment that leads to it."""

    pid: int
    environment: dict[str, str]

    def stage(self, *argv: object, **more: str) -> subprocess.Popen[str]:
        """Start a stage in a process of its own, with ``more`` in its environment."""
        return subprocess.Popen(
            [sys.executable, "-m", "workflow_scripts", *map(str, argv)],
            cwd=ROOT,
            env=self.environment | more,
            stderr=subprocess.PIPE,
            text=True,
        )

    def children(self) -> list[int]:
        """Return the ids of the processes in which stages run."""
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]


def command(folder: Path, *arguments: str) -> list[str]:
    """Return the command that runs the workflow in ``folder``."""
    return [str(SNAKEMAKE), "--directory", str(folder), "--cores", "2", *arguments]


@pytest.fixture(scope="session")
def snakemake() -> Snakemake:
    """Return a function that runs the workflow in a folder and returns what it said."""

    def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(folder, *arguments), cwd=ROOT, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, snakemake: Snakemake) -> Path:
    """Return the results of the demo, run once for all tests."""
    folder = tmp_path_factory.mktemp("demo")
    ran = snakemake(folder, "--profile", "profiles/demo")
    assert ran.returncode == 0, ran.stderr[-4000:]
    (folder / "terminal.txt").write_text(ran.stdout + ran.stderr)
    return folder


@pytest.fixture(scope="session")
def warm_process() -> Iterator[Warm]:
    """Return a warm process, so that a stage in a process of its own takes a second, not ten."""
    process = warm.start()
    socket = os.environ.pop(warm.SOCKET_VARIABLE)
    yield Warm(
        process.pid,
        {**os.environ, warm.SOCKET_VARIABLE: socket, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdin is not None
    process.stdin.close()
    process.wait()
