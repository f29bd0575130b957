"""The Slurm job that this process is part of, and what Slurm says of that and of others."""

import os
import re
import subprocess

CHANGES_NO_RESULT = "whether a job is started again; tests hold the result to be the same"

_PATIENCE = 60.0
"""Seconds in which Slurm's controller is to answer."""
_AT_THE_END = 30
"""Minutes before its time limit in which a job that is told to stop is told so for its time."""


def own() -> str | None:
    """Return the id of this process's job, None outside of Slurm."""
    return os.environ.get("SLURM_JOB_ID")


def start() -> str | None:
    """Return which start of which job this process is part of, None where that isn't known.

    Slurm is asked: the variable that counts restarts does not reach the steps of a job.
    """
    job = own()
    shown = None if job is None else _say("scontrol", "--oneliner", "show", "job", job)
    found = re.search(r"\bRestarts=(\d+)", shown or "")
    return None if found is None else f"{job}.{found[1]}"


def is_running(job: str) -> bool:
    """Return whether a job runs, or has processes that are still ending."""
    states = "RUNNING,SUSPENDED,STOPPED,COMPLETING"
    return bool(_say("squeue", "--noheader", f"--jobs={job}", f"--states={states}", "--format=%i"))


def start_again() -> bool:
    """Ask Slurm to start this job again, if it is its time limit that ends it.

    Nothing is asked for a job that somebody has cancelled, or that Slurm starts again by itself.

    Returns:
        whether Slurm will.
    """
    job = own()
    if job is None:
        return False
    left = _say("squeue", "--noheader", f"--jobs={job}", "--states=RUNNING", "--format=%L")
    if left is None or not _is_short(left):
        return False
    return _say("scontrol", "requeue", job) is not None


def _is_short(left: str) -> bool:
    """Return whether a time, ``days-hours:minutes:seconds``, is that of a job about to end."""
    if "-" in left or left.count(":") != 1:
        return False
    minutes = left.split(":")[0]
    return minutes.isdigit() and int(minutes) < _AT_THE_END


def _say(*command: str) -> str | None:
    """Return what one of Slurm's commands prints, None where it fails."""
    try:
        ran = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ran.stdout.strip() if ran.returncode == 0 else None
