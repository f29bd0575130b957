"""A profile's partitions.yaml, read and chosen from as Snakemake's Slurm plugin does."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
    """What of a job decides its partition, as the plugin looks at it.

    Attributes:
        resources: the resources of its rule.
        threads: CPUs of each task.
        name: what the plugin calls it.
    """

    resources: Mapping[str, int | str | None]
    threads: int
    name: str = "job"


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


def fitting(partitions: "Iterable[Partition]", ask: Ask) -> "list[Partition]":
    """Return the partitions that a job fits."""
    job: Any = ask
    return [partition for partition in partitions if partition.score_job_fit(job) is not None]


def partition_for(partitions: "Sequence[Partition]", ask: Ask) -> "Partition | None":
    """Return the partition that the plugin chooses for a job, None if the job fits in none."""
    from snakemake_executor_plugin_slurm.partitions import get_best_partition

    job: Any = ask
    name = get_best_partition(list(partitions), job, _UNHEARD)
    return next((partition for partition in partitions if partition.name == name), None)
