"""The project as in a fresh clone, beside a cluster, and what an admin types there."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.shared.workflows import ROOT, SNAKEMAKE
from tests.slurm.cluster import Cluster
from workflow_scripts import warm

CONFIGURATION = ("profiles/demo/experiment.yaml", "tests/tiny.yaml", "tests/slurm/experiment.yaml")
# Slurm is asked how jobs fare more often than on a cluster that others use too.
QUICK = (
    *("--slurm-init-seconds-before-status-checks", "4"),
    *("--seconds-between-status-checks", "4"),
    *("--latency-wait", "5"),
)


@dataclass(frozen=True)
class Clone:
    """The project's files in a folder of their own, beside a cluster."""

    folder: Path
    slurm: Cluster

    def command(self, *arguments: str, configuration: tuple[str, ...] = ()) -> list[str]:
        """Return what an admin types, made quick and given a small experiment."""
        files = (*CONFIGURATION, *configuration)
        return [
            *(str(SNAKEMAKE), "--profile", "slurm"),
            *("--configfile", *files, *QUICK, *arguments),
        ]

    def run(
        self, *arguments: str, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run Snakemake, with more variables in its environment, and return what it said."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env={**self.slurm.environment, **(variables or {})},
            capture_output=True,
            text=True,
            check=False,
        )


@contextmanager
def warm_jobs(clone: Clone) -> Iterator[dict[str, str]]:
    """Yield the variable by which jobs are forks of a process that has imported torch.

    Otherwise their imports would take minutes.
    """
    socket = clone.folder.parent / "warm/socket"
    socket.parent.mkdir()
    server = clone.slurm.among_nodes(sys.executable, "-m", "workflow_scripts.warm", str(socket))
    process = subprocess.Popen(server, cwd=clone.folder, stdin=subprocess.PIPE)
    try:
        yield {warm.SOCKET_VARIABLE: str(socket)}
    finally:
        process.communicate()


def made(folder: Path, slurm: Cluster) -> Clone:
    """Copy the project's files into ``folder``."""
    left_out = (".*", "results", "__pycache__", "docs", "benchmarks")
    shutil.copytree(ROOT, folder, symlinks=True, ignore=shutil.ignore_patterns(*left_out))
    return Clone(folder, slurm)
