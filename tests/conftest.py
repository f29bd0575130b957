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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep both of two workers busy to the end: what takes minutes comes first.

    Quick tests of a module go to one worker, since they share what they are given, where they
    name no other group.
    """
    items.sort(key=lambda item: (not is_slow(item), "slurm" not in item.path.parts))
    for item in items:
        if item.get_closest_marker("xdist_group") is None and not is_slow(item):
            item.add_marker(pytest.mark.xdist_group(item.path.name))


def is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None


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
    yield Warm(process.pid, socket)
    assert process.stdin is not None
    process.stdin.close()
    process.wait()
