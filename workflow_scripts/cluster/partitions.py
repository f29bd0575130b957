"""A profile's partitions.yaml, read and chosen from as Snakemake's Slurm plugin does."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.core.errors import UserError, first_line

if TYPE_CHECKING:
    from snakemake_executor_plugin_slurm.partitions import Partition

_UNHEARD: Any = logging.getLogger(f"{__name__}.unheard")
"""What the plugin says of each choice goes nowhere."""
_UNHEARD.addHandler(logging.NullHandler())
_UNHEARD.propagate = False


@dataclass(frozen=True)
class Ask:
    """What of a job decides its partition.

    Attributes:
        slurm_type: what Slurm calls its GPUs; empty where they have no type.
        gpus: GPUs over all nodes.
        nodes: machines.
        mem_mb: the host's memory on each node, in MB.
        runtime_min: its time limit, in minutes.
        threads: CPUs of each task.
    """

    slurm_type: str
    gpus: int
    nodes: int = 1
    mem_mb: int = 0
    runtime_min: int = 0
    threads: int = 1

    @property
    def name(self) -> str:
        """What the plugin calls the job."""
        return f"{self.gpus} x {self.slurm_type}"

    @property
    def resources(self) -> dict[str, Any]:
        """The resources of the job's rule, as rules/hardware.smk sets them."""
        return {
            "gpu": self.gpus,
            "gpu_model": self.slurm_type or None,
            # A job of one rank asks for no number of nodes.
            "nodes": self.nodes if self.gpus > 1 else 0,
            "mem_mb": self.mem_mb,
            "runtime": self.runtime_min,
        }


def read_partitions(path: str) -> "list[Partition]":
    """Read the file as Snakemake's Slurm plugin does.

    Raises:
        UserError: if it cannot be read, or has no `partitions`.
    """
    from snakemake_executor_plugin_slurm.partitions import read_partition_file
    from snakemake_interface_common.exceptions import WorkflowError

    try:
        return read_partition_file(Path(path))
    except (OSError, WorkflowError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"{path}: no `partitions` can be read from it ({first_line(error)}); write the file as "
            "profiles/slurm/partitions.yaml shows"
        ) from error


def partition_for(partitions: "Sequence[Partition]", ask: Ask) -> "Partition | None":
    """Return the partition that the plugin chooses for a job, None if the job fits in none.

    A job that runs longer than any partition that it fits otherwise is in that of the longest.
    """
    from snakemake_executor_plugin_slurm.partitions import get_best_partition

    job: Any = ask
    name = get_best_partition(list(partitions), job, _UNHEARD)
    if name is not None:
        return next(partition for partition in partitions if partition.name == name)
    untimed: Any = replace(ask, runtime_min=0)
    fitting = (p for p in partitions if p.score_job_fit(untimed) is not None)
    return max(fitting, key=lambda partition: partition.limits.max_runtime, default=None)
