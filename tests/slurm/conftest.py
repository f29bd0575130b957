"""A running Slurm cluster for the tests in this folder."""

from collections.abc import Iterator

import cluster
import pytest


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    """Return a cluster of two nodes, ``a40`` and ``a800``, that runs until the tests end."""
    if reason := cluster.missing():
        pytest.skip(f"a real Slurm {reason}")
    with cluster.started(tmp_path_factory.mktemp("slurm")) as running:
        yield running
