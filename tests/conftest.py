"""What all tests share: results of whole runs, and a process from which stages are forked."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shared.warm_process import Warm
from tests.shared.workflows import snakemake
from workflow_scripts import warm


def pytest_configure() -> None:
    """Let Ctrl-C reach what the tests start.

    A shell that runs the tests in the background has them ignore it, and so their children.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
    assert process is not None
    socket = os.environ.pop(warm.SOCKET_VARIABLE)
    yield Warm(
        process.pid,
        {**os.environ, warm.SOCKET_VARIABLE: socket, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdin is not None
    process.stdin.close()
    process.wait()
