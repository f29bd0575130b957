"""Give each process GPUs of its own where several processes share a machine or a Slurm job.

torch takes the first GPU that it sees, and the Trainer all of them. A Slurm job sees the GPUs it
was given; jobs that Snakemake runs at the same time on one machine, or in one Slurm job, all see
the same GPUs. So a process locks free GPUs for as long as it lives, and sees no others.
"""

import glob
import logging
import os
import platform
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_scripts.core.errors import first_line

if TYPE_CHECKING:
    from filelock import FileLock

logger = logging.getLogger(__name__)

VARIABLE = "CUDA_VISIBLE_DEVICES"

_held: "list[FileLock]" = []


def take(count: int) -> None:
    """Leave ``count`` GPUs visible: free ones, or the first ones where too few are free.

    Call it before torch looks for GPUs. Nothing changes where no more than ``count`` are visible.
    """
    visible = visible_here()
    if len(visible) <= count:
        return
    taken: list[str] = []
    for gpu in visible:
        if len(taken) < count and (lock := _lock(gpu)) is not None:
            _held.append(lock)
            taken.append(gpu)
    shared = [gpu for gpu in visible if gpu not in taken][: count - len(taken)]
    os.environ[VARIABLE] = ",".join(taken + shared)


def visible_here() -> list[str]:
    """Return the GPUs that this process sees, as CUDA numbers or names them, without asking torch.

    As CUDA does, it takes a negative number for the end of the list.
    """
    if VARIABLE in os.environ:
        listed = [gpu.strip() for gpu in os.environ[VARIABLE].split(",")]
        return list(takewhile(lambda gpu: gpu and not gpu.startswith("-"), listed))
    return [str(number) for number in range(len(glob.glob("/dev/nvidia[0-9]*")))]


def _lock(gpu: str) -> "FileLock | None":
    """Return a GPU's lock, held as long as it is referenced; None where another process has it."""
    from filelock import FileLock, Timeout

    # A Slurm job may number its GPUs from 0 whichever they are, so its id is part of the name.
    job = os.environ.get("SLURM_JOB_ID", "local")
    folder = _lock_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"w2s-{job}-gpu-{gpu}.lock", fallback_to_soft=False)
        lock.acquire(blocking=False)
    except Timeout:
        return None
    except (OSError, NotImplementedError) as error:
        logger.warning("%s: GPUs cannot be locked there (%s)", folder, first_line(error))
        return None
    return lock


def _lock_folder() -> Path:
    """Return a folder of this user's own, since in one for all users another user's lock is final.

    Where the system gives no such folder, a run knows of its own jobs alone.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK | os.X_OK) and os.stat(runtime).st_uid == os.getuid():
        return Path(runtime)
    return Path("results/.locks", platform.node())
