"""A process from which stages are forked, so that each in a process of its own takes a second."""

import os
import subprocess
import sys
from typing import NamedTuple

from tests.shared.processes import children
from tests.shared.workflows import ROOT
from workflow_scripts import warm


class Warm(NamedTuple):
    """A process that forks for every stage: its id, and the socket that leads to it."""

    pid: int
    socket: str

    @property
    def variable(self) -> dict[str, str]:
        """The variable by which commands find the process."""
        return {warm.SOCKET_VARIABLE: self.socket}

    def stage(self, *argv: object, **more: str) -> subprocess.Popen[str]:
        """Start a stage in a process of its own, with ``more`` in its environment."""
        return subprocess.Popen(
            [sys.executable, "-m", "workflow_scripts", *map(str, argv)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **self.variable, **more},
            stderr=subprocess.PIPE,
            text=True,
        )

    def fork(self, *argv: object, **more: str) -> subprocess.Popen[str]:
        """Start any stage as `stage` does, those that train nothing, too."""
        run = (
            "import sys; from workflow_scripts import warm; sys.exit(warm.run_there(sys.argv[1:]))"
        )
        return subprocess.Popen(
            [sys.executable, "-c", run, *map(str, argv)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **self.variable, **more},
            stderr=subprocess.PIPE,
            text=True,
        )

    def children(self) -> list[int]:
        """Return the ids of the processes in which stages run."""
        return children(self.pid)
