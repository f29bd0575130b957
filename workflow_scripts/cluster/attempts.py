"""Why the attempts of a job have failed, so that the next one gets more of what it lacked.

Snakemake tells a rule how often a job has been tried, and not why it failed. So the process that
submits jobs notes the cause of each failure, from what Slurm and the job's own log say, and both it
and the job look there for what a further attempt is to get:

    results/.attempts/<path of the output>.json
"""

import json
import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path, PurePath
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent

from workflow_scripts.cluster.findings import Finding, run_slurm
from workflow_scripts.cluster.hardware import NO_GROWTH, Growth
from workflow_scripts.config import paths
from workflow_scripts.core.files import write_json

_FOLDER = Path(paths.RESULTS, ".attempts")
_OTHERS = ("NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "DEADLINE", "REVOKED")
"""States of a job whose end had nothing to do with what it asked for."""


class Cause(StrEnum):
    """What an attempt failed for."""

    MEMORY = "memory"
    TIME = "time"
    OTHER = "other"


class Failures(logging.Filter):
    """A filter of Snakemake's logger that lets all pass, and notes why jobs failed."""

    def __init__(self, *, on_cluster: bool) -> None:
        """Look at jobs of this machine, or of a cluster."""
        super().__init__()
        self._on_cluster = on_cluster

    def filter(self, record: logging.LogRecord) -> bool:
        """Look at a record, and let it pass."""
        said: Any = record
        event = getattr(record, "event", None)
        if event == LogEvent.GROUP_ERROR:
            slurm_id = getattr(said, "external_jobid", None)
            state = self._note(said.job_error_info, slurm_id)
            if state:
                # In the plugin's words, which Snakemake hands on for single jobs alone.
                record.msg = (
                    f"{record.msg}: SLURM-job '{slurm_id}' failed, SLURM status is: '{state}'"
                )
        # Those of a group's jobs are repeated one by one.
        elif event == LogEvent.JOB_ERROR and not said.indent:
            info = {"output": said.output, "log": said.log}
            self._note([info], said.aux.get("external_jobid"))
        return True

    def _note(self, jobs: Sequence[Mapping[str, Any]], slurm_id: str | None) -> str:
        """Note why a job failed, and return Slurm's state of it."""
        if self._on_cluster and slurm_id is None:
            return ""  # it was never submitted, which is nobody's attempt
        state = _state(slurm_id) if slurm_id is not None else ""
        # An output may be followed by what Snakemake does with it, in brackets.
        outputs = [[path.split(" (")[0] for path in job["output"]] for job in jobs]
        words = [
            _last_error(job["log"], since=_noted_at(paths_))
            for job, paths_ in zip(jobs, outputs, strict=True)
        ]
        for said, paths_ in zip(words, outputs, strict=True):
            # One that has not begun, or of which another has said why, was in no need of memory.
            blameless = said is None or (any(words) and not said)
            cause = _cause("error: of another" if blameless else said or "", state)
            for path in paths_:
                write_json(_file(path), [*_causes(path), cause])
        return state


def growth(path: str, attempt: int) -> Growth:
    """Return what an attempt at a job gets more of than the first one.

    Args:
        path: an output of the job.
        attempt: which attempt it is, from 1.
    """
    if attempt == 1:
        return NO_GROWTH
    causes = _causes(path)[1 - attempt :]
    return Growth(memory=causes.count(Cause.MEMORY), time=causes.count(Cause.TIME))


def forget() -> None:
    """Forget all causes, as at the beginning of a run, whose attempts are counted from 1."""
    shutil.rmtree(_FOLDER, ignore_errors=True)


def _causes(path: str) -> list[str]:
    try:
        return json.loads(_file(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []


def _file(path: str) -> Path:
    return _FOLDER / f"{PurePath(path).relative_to(paths.RESULTS)}.json"


def _noted_at(outputs: Sequence[str]) -> float:
    """Return when the last failure of a job was noted."""
    files = (_file(path) for path in outputs)
    return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)


def _last_error(logs: Sequence[str], since: float) -> str | None:
    """Return the error that a job's log ends with, empty where it has none.

    None where nothing was logged in this attempt: then it has not begun.
    """
    said_nothing: str | None = None
    for log in map(Path, logs):
        try:
            if log.stat().st_mtime <= since:
                continue
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        said = [line for line in lines if line.startswith("error: ")]
        # A rank that ends because another has does not know why.
        told = [line for line in said if "another rank ended" not in line]
        if told:
            return told[-1]
        said_nothing = ""
    return said_nothing


def _cause(said: str, state: str) -> Cause:
    """Return what a job failed for, from its last words and Slurm's state of it."""
    if state == "OUT_OF_MEMORY" or "out of memory" in said:
        return Cause.MEMORY
    if state == "TIMEOUT" or (said.startswith("error: stopped") and state != "CANCELLED"):
        return Cause.TIME
    # What ends without a word was killed, for its memory if for nothing that Slurm knows of.
    return Cause.OTHER if said or state in _OTHERS else Cause.MEMORY


def _state(slurm_id: str) -> str:
    shown = run_slurm("scontrol", "--oneliner", "show", "job", slurm_id, timeout=60)
    found = None if isinstance(shown, Finding) else re.search(r"\bJobState=(\w+)", shown)
    return found[1] if found else ""
