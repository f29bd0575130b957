"""How many processes work on one model, and which of them this is: torch's launch variables.

Every rank reads the same files and takes its share of the work; only the first writes. Ranks are
started by ``srun`` under Slurm and by ``launch.py`` elsewhere; in both cases ``join`` reads their
numbers through submitit.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

CHANGES_NO_RESULT = "how many processes share a batch; tests hold the result to be the same"

_apart = False


def join() -> None:
    """Set torch's launch variables where this process is one of several of a Slurm job step.

    submitit's local executor and torch's own launcher have set them already.
    """
    if "WORLD_SIZE" in os.environ or int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) == 1:
        return
    # This makes submitit read Slurm's variables.
    os.environ["SUBMITIT_EXECUTOR"] = "slurm"
    export()


def export() -> None:
    """Set torch's launch variables from those of the executor that started this process.

    All of a node's GPUs stay visible and a rank takes the one of its local number; where the
    cluster shows each rank a single GPU, that is number 0.
    """
    from submitit.helpers import TorchDistributedEnvironment

    TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
    # `--threads` is applied later; accelerate warns where this is not set.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if visible and "," not in visible:
        os.environ["LOCAL_RANK"] = "0"


def count() -> int:
    """Return how many ranks work together: 1 where nothing launched more, or each is ``apart``."""
    return 1 if _apart else int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def apart() -> Iterator[None]:
    """Let each rank run its model as often as it likes, as if it were the only one."""
    global _apart
    _apart = True
    try:
        yield
    finally:
        _apart = False


def number() -> int:
    """Return which of the ranks this is, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_first() -> bool:
    """Return whether this rank is the one that writes."""
    return number() == 0
