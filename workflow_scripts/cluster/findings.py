"""What a check before a run on the cluster found."""

import subprocess
from dataclasses import dataclass

from workflow_scripts.core.errors import first_line


@dataclass(frozen=True)
class Finding:
    """The outcome of one check; without a fix there is nothing wrong."""

    check: str
    found: str
    fix: str = ""


def run_slurm(*command: str, timeout: float) -> str | Finding:
    """Run one of Slurm's commands and return its output, or the finding that it failed.

    Args:
        command: its name and arguments.
        timeout: seconds after which it counts as failed.
    """
    name = command[0]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        return Finding(name, f"{name} had no answer in {timeout:.0f} s", "try again later")
    except OSError as error:
        return Finding(
            name, f"{name} cannot be run ({first_line(error)})", "install Slurm's commands"
        )
    if ran.returncode:
        return Finding(name, f"{name} failed ({first_line(ran.stderr)})", f"try it: {name} …")
    return ran.stdout
