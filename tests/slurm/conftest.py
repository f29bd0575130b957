"""A running Slurm cluster, and the workflow in a folder as it would be in a fresh clone."""

from collections.abc import Iterator

import clone as clones
import cluster
import pytest


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    """Return a cluster of two nodes, ``a40`` and ``a800``, that runs until the tests end."""
    if reason := cluster.missing():
        pytest.skip(f"a real Slurm {reason}")
    with cluster.started(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(scope="module")
def clone(slurm: cluster.Cluster, tmp_path_factory: pytest.TempPathFactory) -> clones.Clone:
    """Return the project as in a fresh clone."""
    return clones.made(tmp_path_factory.mktemp("clone") / "project", slurm)
