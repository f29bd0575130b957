"""Give each process GPUs of its own where several processes share a machine or a Slurm job.

torch takes the first GPU that it sees, and the Trainer all of them. A Slurm job sees the GPUs it
was given; jobs that Snakemake runs at the same time on one machine, or in one Slurm job, all see
the same GPUs. So a process locks free GPUs for as long as it lives, and sees no others.
"""

import fcntl
import getpass
import glob
import os
import tempfile
from pathlib import Path

VARIABLE = "CUDA_VISIBLE_DEVICES"

_held: list[int] = []


def take(count: int) -> None:
    """Leave ``count`` GPUs visible: free ones, or the first ones where too few are free.

    Call it before torch looks for GPUs. Nothing changes where no more than ``count`` are visible.
    """
    visible = _visible()
    if len(visible) <= count:
        return
    taken: list[str] = []
    for gpu in visible:
        if len(taken) < count and (lock := _lock(gpu)) is not None:
            _held.append(lock)
            taken.append(gpu)
    shared = [gpu for gpu in visible if gpu not in taken][: count - len(taken)]
    os.environ[VARIABLE] = ",".join(taken + shared)


def _visible() -> list[str]:
    if VARIABLE in os.environ:
        return [gpu for gpu in os.environ[VARIABLE].split(",") if gpu]
    return [str(number) for number in range(len(glob.glob("/dev/nvidia[0-9]*")))]


def _lock(gpu: str) -> int | None:
    """Return the open file that holds the GPU's lock, or None where another process holds it."""
    # A Slurm job may number its GPUs from 0 whichever they are, so its id is part of the name.
    owner = f"{getpass.getuser()}-{os.environ.get('SLURM_JOB_ID', 'local')}"
    path = Path(tempfile.gettempdir(), f"w2s-{owner}-gpu-{gpu}.lock")
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file
