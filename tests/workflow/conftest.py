"""A finished run of the tiny DAG, made once for all tests that start from one."""

import shutil
from pathlib import Path

import pytest

from tests.shared import joblog
from tests.shared.once import once
from tests.shared.warm_process import Warm
from tests.shared.workflows import TINY


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, warm_process: Warm) -> Path:
    """Return a folder in which the tiny DAG was run; nothing but dry runs may use it."""

    def make(folder: Path) -> None:
        joblog.run(folder, *TINY, "--quiet", "all", environment=warm_process.variable)

    return once("finished", make, tmp_path_factory)


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """Return a copy of the finished folder, times of files included."""
    # Dry runs may be writing their logs.
    return shutil.copytree(finished, tmp_path / "copied", ignore=shutil.ignore_patterns("log"))
