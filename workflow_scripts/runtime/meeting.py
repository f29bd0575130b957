"""What ranks do together outside of trainings: share work out, put results together."""

import os
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed

from workflow_scripts.runtime import ranks

CHANGES_NO_RESULT = "which rank does what; tests hold the result to be the same"

PATIENCE = timedelta(hours=2)
"""How long ranks wait for one that is slower, say because it alone reads a model."""


def join() -> torch.device:
    """Meet the other ranks, if there are some, and return what this one computes on."""
    on_gpu = torch.cuda.is_available()
    if ranks.count() > 1 and not distributed.is_initialized():
        if on_gpu:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)
    return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")


def shares(costs: Sequence[int]) -> list[list[int]]:
    """Deal work to the ranks so that each has about equally much to do.

    Args:
        costs: of each piece, the greatest first.

    Returns:
        The pieces of each rank, as places of ``costs``.
    """
    dealt: list[list[int]] = [[] for _ in range(ranks.count())]
    loads = [0] * len(dealt)
    for place, cost in enumerate(costs):
        rank = loads.index(min(loads))
        dealt[rank].append(place)
        loads[rank] += cost
    return dealt


def put_together(own: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Return what all ranks have found out, the first one's first, on every rank.

    Args:
        own: this rank's; None if it had nothing to do.
    """
    found: list[NDArray[np.float64] | None] = [own]
    if ranks.count() > 1:
        found = [None] * ranks.count()
        distributed.all_gather_object(found, own)
        distributed.destroy_process_group()
    return np.concatenate([of_rank for of_rank in found if of_rank is not None])
