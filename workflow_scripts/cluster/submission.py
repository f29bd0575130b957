"""``sbatch`` as the workflow calls it: patient, and behind the jobs of a run that was killed.

Snakemake counts a submission that fails as an attempt of the job, and starts a job again whose
first one still runs. So this stands before Slurm's own ``sbatch`` on the PATH and hands on what it
gets, with two additions:

* while Slurm's controller does not answer, it tries again;
* a job that makes what one of the user's jobs is making waits in the queue until that has ended.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

NAME = "sbatch"
PATIENCE = 1800.0
"""Seconds in which a controller is to come back."""
_PAUSE = 5.0
_AWAY = re.compile(
    r"unable to contact slurm|connection (refused|timed out)|socket timed out|zero bytes were"
    r"|temporarily un(able|available)|not responding|try again|in standby mode",
    re.IGNORECASE,
)
"""What Slurm says of a controller that is away, busy or starting."""
_MAKES = re.compile(r"--target-jobs (.+?) --")
"""What a job makes, in the command that Snakemake wraps into it."""


def main(arguments: Sequence[str]) -> int:
    """Submit a job, print what Slurm prints, and return its exit status."""
    command = [_slurms(), *_behind(arguments), *arguments]
    until = time.monotonic() + PATIENCE
    while True:
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        away = bool(ran.returncode and _AWAY.search(ran.stderr))
        if not away or time.monotonic() > until:
            break
        time.sleep(_PAUSE)
        # What timed out may have been accepted all the same.
        if accepted := next(_jobs(arguments, of_this_run=True), None):
            print(accepted)
            return 0
    sys.stdout.write(ran.stdout)
    sys.stderr.write(ran.stderr)
    return ran.returncode


def _slurms() -> str:
    """Return the path of Slurm's own command: the next of this name on the PATH."""
    own = Path(shutil.which(NAME) or "").resolve()
    for folder in os.get_exec_path():
        found = shutil.which(NAME, path=folder)
        if found is not None and Path(found).resolve() != own:
            return found
    sys.exit(f"{NAME}: not found; install Slurm's commands")


def _behind(arguments: Sequence[str]) -> list[str]:
    """Return the option that makes a job wait for those of another run that make the same."""
    others = ":".join(_jobs(arguments, of_this_run=False))
    return [f"--dependency=afterany:{others}"] if others else []


def _jobs(arguments: Sequence[str], *, of_this_run: bool) -> Iterator[str]:
    """Yield the user's jobs that make, in the same folder, what a job of these arguments would.

    Args:
        arguments: those of ``sbatch``.
        of_this_run: whether to look among the jobs of the same run of Snakemake, or of others.
    """
    comment, run = _value(arguments, "--comment"), _value(arguments, "--job-name")
    makes = _makes(" ".join(arguments))
    listed = _said("squeue", "--me", "--noheader", "--format=%i|%Z|%j|%k")
    for line in listed.splitlines():
        job, folder, name, said = line.split("|", 3)
        if said != comment or folder != os.getcwd() or (name == run) != of_this_run:
            continue
        if makes and makes == _makes(_said("scontrol", "write", "batch_script", job, "-")):
            yield job


def _makes(command: str) -> frozenset[str]:
    found = _MAKES.search(command)
    return frozenset(shlex.split(found[1])) if found else frozenset()


def _value(arguments: Sequence[str], option: str) -> str:
    """Return what follows an option, and nothing where it is not given."""
    return arguments[arguments.index(option) + 1] if option in arguments else ""


def _said(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return ran.stdout if ran.returncode == 0 else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
