"""A profile's partitions.yaml: the limits and GPU models of a cluster's partitions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from workflow_scripts.core.errors import UserError, first_line


@dataclass(frozen=True)
class Partition:
    """A partition: its GPU models, and the most GPUs and nodes of a job."""

    name: str
    gpu_models: tuple[str, ...]
    max_gpu: int
    max_nodes: float


def read_partitions(path: str) -> list[Partition]:
    """Read the file as Snakemake's Slurm plugin does.

    Raises:
        UserError: if it cannot be read, or has no `partitions`.
    """
    try:
        with open(path, encoding="utf-8") as file:
            sections = yaml.safe_load(file)["partitions"].items()
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: no `partitions` can be read from it ({first_line(error)}); write the file as "
            "profiles/slurm/partitions.yaml shows"
        ) from error
    return [
        Partition(
            str(name),
            tuple(limits.get("available_gpu_models", ())),
            int(limits.get("max_gpu", 0)),
            limits.get("max_nodes", math.inf),
        )
        for name, limits in sections
    ]


def partition_for(
    partitions: Sequence[Partition], gpu_model: str, gpus: int, nodes: int = 1
) -> Partition | None:
    """Return the first partition whose jobs may have as many GPUs of a model on as many nodes."""
    fitting = (
        partition
        for partition in partitions
        if gpus <= partition.max_gpu
        and nodes <= partition.max_nodes
        and (not (gpu_model and partition.gpu_models) or gpu_model in partition.gpu_models)
    )
    return next(fitting, None)
