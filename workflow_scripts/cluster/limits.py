"""What a cluster's partitions leave a job: whether it fits one at all, and for how long it may run.

A training that takes longer than any partition lets it run goes on in as many jobs as it takes, so
time refuses only what a job could not even be started in.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, Self

from workflow_scripts.cluster.hardware import Request
from workflow_scripts.cluster.partitions import Ask, fitting, partition_for, read_partitions
from workflow_scripts.config.experiment import Config
from workflow_scripts.core.errors import UserError

if TYPE_CHECKING:
    from snakemake_executor_plugin_slurm.partitions import Partition


class Parts(NamedTuple):
    """The minutes that the parts of one Slurm job ask for at first.

    Attributes:
        training: its training; 0 where there is none.
        readouts: all that may be read off the trained model, together.
    """

    training: int
    readouts: int

    def share(self, own: int, limit: int, *, trains: bool) -> int:
        """Return the most minutes that one part may ask for, so that all of them stay in ``limit``.

        Half of what nobody asks for at first is kept for further attempts of the readouts. Where
        there is too little time, the readouts get up to half: a training can go on in another job.
        """
        slack = limit - self.training - self.readouts
        of_readouts = min(self.readouts, limit // 2) if slack < 0 else self.readouts + slack // 2
        if not self.readouts or not self.training:
            of_readouts = limit if self.readouts else 0
        return limit - of_readouts if trains else max(1, of_readouts * own // self.readouts)


class Limits:
    """The partitions of one file, and what of them a configuration's jobs may use."""

    def __init__(self, config: Config, partitions: "Sequence[Partition]", file: str) -> None:
        """Take the partitions, and the name of their file for messages."""
        self._threads = config.execution.threads
        self._start_minutes = math.ceil(config.execution.start_minutes)
        self.partitions = partitions
        self.file = file
        self._fitting = cache(self._fitting_partitions)

    @classmethod
    def of_file(cls, config: Config, file: str) -> Self:
        """Read the partitions.

        Raises:
            UserError: if the file cannot be read.
        """
        return cls(config, read_partitions(file), file)

    def check(self, model: str, asked: Request) -> None:
        """Check that a job fits a partition.

        Raises:
            UserError: if it fits none, with the key to change.
        """
        self._fitting(model, replace(asked, runtime_min=0))

    def partition(self, model: str, asked: Request, minutes: int) -> str:
        """Return the partition that the plugin chooses for a job of so many minutes.

        Raises:
            UserError: if it fits none, with the key to change.
        """
        fit = self._fitting(model, replace(asked, runtime_min=0))
        limit = max(partition.limits.max_runtime for partition in fit)
        runtime = minutes if math.isinf(limit) else min(minutes, int(limit))
        ask = Ask(asked.resources | {"runtime": runtime}, self._threads)
        chosen = partition_for(self.partitions, ask)
        assert chosen is not None, "the job fits that of the longest time"
        return chosen.name

    def minutes(self, partition: str) -> float:
        """Return how long a job may run in a partition."""
        return next(p.limits.max_runtime for p in self.partitions if p.name == partition)

    def fitted(
        self, model: str, asked: Request, grown: Request, parts: Parts, *, trains: bool
    ) -> Request:
        """Return a job's request, cut to what the partitions give.

        Args:
            model: the model, for messages.
            asked: what the job asks for at first.
            grown: what it asks for after its failures.
            parts: the minutes of all parts of its Slurm job.
            trains: whether it is the training of these parts.

        Raises:
            UserError: if it fits no partition, with the key to change.
        """
        fit = self._fitting(model, replace(asked, runtime_min=0))
        most = asked.nodes * max(partition.limits.max_mem_mb for partition in fit)
        mem_mb = grown.mem_mb if math.isinf(most) else min(grown.mem_mb, int(most))
        roomy = [p for p in fit if asked.nodes * p.limits.max_mem_mb >= mem_mb]
        limit = max(partition.limits.max_runtime for partition in roomy)
        minutes = grown.runtime_min
        if not math.isinf(limit):
            minutes = min(minutes, parts.share(asked.runtime_min, int(limit), trains=trains))
        return replace(grown, mem_mb=mem_mb, runtime_min=minutes)

    def _fitting_partitions(self, model: str, asked: Request) -> "list[Partition]":
        """Return the partitions that a job fits, whatever its time beyond what its start takes."""
        ask = Ask(asked.resources | {"runtime": self._start_minutes}, self._threads)
        found = fitting(self.partitions, ask)
        if not found:
            raise UserError(self._refusal(model, asked, ask))
        return found

    def _refusal(self, model: str, asked: Request, ask: Ask) -> str:
        """Return what to change: the first key without whose limit the job would fit."""
        named = f"models.{model}"
        ways: list[tuple[dict[str, int | str | None], int | None, str, str]] = [
            (
                {"runtime": 0},
                None,
                f"max_runtime of {{0}} is below {ask.resources['runtime']} minutes",
                "raise it, or lower execution.start_minutes",
            ),
            (
                {"mem_mb": 0},
                None,
                f"max_mem_mb of {{0}} is below {ask.resources['mem_mb']}",
                f"raise it, or change {named}.gpus or zero",
            ),
            (
                {},
                1,
                f"max_threads of {{0}} is below {ask.threads}",
                "raise it, or lower execution.threads",
            ),
            (
                {"nodes": None, "mpi": None, "tasks_per_node": None},
                None,
                f"max_nodes, max_tasks_per_node or supports_mpi of {{0}} allows no {asked.ranks} "
                f"ranks on {asked.nodes} nodes",
                f"change it, or {named}.nodes",
            ),
            (
                {"gres": None, "gpu": min(1, asked.gpu), "gpu_model": asked.slurm_type or None},
                None,
                f"max_gpu of {{0}} is below {asked.gpus_per_node or asked.gpu}",
                f"raise it, or lower {named}.gpus",
            ),
        ]
        for change, threads, why, fix in ways:
            relaxed = Ask({**ask.resources, **change}, threads or ask.threads)
            if fit := fitting(self.partitions, relaxed):
                why = why.format(", ".join(partition.name for partition in fit))
                return f"{self.file}: no partition for {model}: {why}; {fix}"
        return (
            f"{self.file}: no partition for {model} on {asked.gpu} x {asked.slurm_type or 'GPU'}; "
            f"list one with it in available_gpu_models and max_gpu, or change {named}.gpu_model"
        )
