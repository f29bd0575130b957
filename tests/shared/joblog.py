"""Run Snakemake and read which jobs it told of, through a logger plugin rather than its text."""

import json
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.shared.workflows import ROOT, snakemake


class Job(NamedTuple):
    """A job that Snakemake would run or has started."""

    rule: str
    message: str | None
    inputs: list[str]
    outputs: list[str]
    log: list[str]
    resources: dict[str, Any]
    reason: str
    command: str | None
    group: str | None

    @property
    def name(self) -> str:
        """Its rule, and its first output below ``results/``."""
        return f"{self.rule} {self.outputs[0].removeprefix('results/')}"

    @property
    def settings(self) -> dict[str, Any]:
        """What its command hands over as ``--settings``."""
        words = shlex.split(self.command or "")
        return json.loads(words[words.index("--settings") + 1])


class Ran(NamedTuple):
    """What came out of one run of Snakemake: status, what it printed, its jobs with outputs."""

    returncode: int
    output: str
    jobs: list[Job]

    @property
    def names(self) -> set[str]:
        """The names of its jobs."""
        return {job.name for job in self.jobs}


def run(
    folder: Path,
    *arguments: object,
    checkout: Path = ROOT,
    status: int = 0,
    environment: Mapping[str, str] | None = None,
) -> Ran:
    """Run a checkout's workflow in ``folder``, which must end with ``status``."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as log:
        to_log = ("--logger", "jobs", "--logger-jobs-file", log.name)
        # Options with several values come last, so that none takes these for its own.
        given = (*to_log, *map(str, arguments))
        ran = snakemake(folder, *given, checkout=checkout, environment=environment)
        output = ran.stdout + ran.stderr
        assert ran.returncode == status, output[-4000:]
        jobs = [Job(**json.loads(line)) for line in Path(log.name).read_text().splitlines()]
    return Ran(ran.returncode, output, [job for job in jobs if job.outputs])
