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
    r"|not connected|temporarily un(able|available)|not responding|try again|in standby mode",
    re.IGNORECASE,
)
"""What Slurm says of a controller that is away, busy or starting."""
_MAKES = re.compile(r"--target-jobs (.+?) --")
"""What a job makes, in the command that Snakemake wraps into it."""


def main(arguments: Sequence[str]) -> int:
    """Submit a job, print what Slurm prints, and return its exit status."""
    until = time.monotonic() + PATIENCE
    tried = False
    while True:
        ran = _run("squeue", "--me", "--noheader", "--format=%i|%Z|%j|%k")
        if not _is_away(ran):
            # What timed out may have been accepted all the same.
            if tried and (accepted := next(_jobs(ran.stdout, arguments, of_this_run=True), None)):
                print(accepted)
                return 0
            others = ":".join(_jobs(ran.stdout, arguments, of_this_run=False))
            behind = [f"--dependency=afterany:{others}"] if others else []
            ran = _run(_slurms(), *behind, *arguments)
            tried = True
        if not _is_away(ran) or time.monotonic() > until:
            break
        # Long enough for a controller that is back to take what was sent to it before.
        time.sleep(_PAUSE)
    sys.stdout.write(ran.stdout)
    sys.stderr.write(ran.stderr)
    return ran.returncode


def _is_away(ran: subprocess.CompletedProcess[str]) -> bool:
    return bool(ran.returncode and _AWAY.search(ran.stderr))


def _slurms() -> str:
    """Return the path of Slurm's own command: the next of this name on the PATH."""
    own = Path(shutil.which(NAME) or "").resolve()
    for folder in os.get_exec_path():
        found = shutil.which(NAME, path=folder)
        if found is not None and Path(found).resolve() != own:
            return found
    sys.exit(f"{NAME}: not found; install Slurm's commands")


def _jobs(listed: str, arguments: Sequence[str], *, of_this_run: bool) -> Iterator[str]:
    """Yield the jobs that make, in the same folder, what a job of these arguments would.

    Args:
        listed: the user's jobs: by line their id, folder, name and comment.
        arguments: those of ``sbatch``.
        of_this_run: whether to look among the jobs of the same run of Snakemake, or of others.
    """
    comment, run = _value(arguments, "--comment"), _value(arguments, "--job-name")
    makes = _makes(" ".join(arguments))
    for line in listed.splitlines():
        job, folder, name, said = line.split("|", 3)
        if said != comment or folder != os.getcwd() or (name == run) != of_this_run:
            continue
        script = _run("scontrol", "write", "batch_script", job, "-").stdout
        if makes and makes == _makes(script):
            yield job


def _makes(command: str) -> frozenset[str]:
    found = _MAKES.search(command)
    return frozenset(shlex.split(found[1])) if found else frozenset()


def _value(arguments: Sequence[str], option: str) -> str:
    """Return what follows an option, and nothing where it is not given."""
    return arguments[arguments.index(option) + 1] if option in arguments else ""


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
