"""Checks before a run on the cluster: its partitions, the user's account, and its nodes."""

import getpass
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_scripts.cluster.findings import Finding, run_slurm
from workflow_scripts.cluster.hardware import Request
from workflow_scripts.cluster.limits import Limits
from workflow_scripts.cluster.plan import longest_jobs
from workflow_scripts.cluster.work import Costs, Work
from workflow_scripts.config import paths
from workflow_scripts.config.experiment import Config
from workflow_scripts.config.uses import Use
from workflow_scripts.core.errors import UserError, last_line

if TYPE_CHECKING:
    from snakemake_executor_plugin_slurm.partitions import Partition

PATIENCE_MINUTES = 2
"""How long to wait for a node."""
_ON_NODE = (
    "import pathlib, socket, sys, torch; "
    "pathlib.Path(sys.argv[1]).write_text(socket.gethostname()); "
    "n = torch.cuda.device_count(); "
    "print(n, torch.cuda.get_device_name(0) if n else 'none', sep='|')"
)


@dataclass(frozen=True)
class Demand:
    """What trainings of one kind ask for: a number of GPUs of a model, over a number of nodes.

    Attributes:
        gpu_model: one of the configuration's `hardware`.
        slurm_type: what Slurm calls it.
        gpus: GPUs over all nodes.
        nodes: machines.
        models: by model and use, what a job asks for, and the minutes of the longest.
    """

    gpu_model: str
    slurm_type: str
    gpus: int
    nodes: int
    models: dict[tuple[str, Use], tuple[Request, int]]

    def partitions(self, limits: Limits) -> dict[tuple[str, Use], str | UserError]:
        """Return by model and use the partition of the longest job, or why there is none."""
        found: dict[tuple[str, Use], str | UserError] = {}
        for (model, use), (asked, minutes) in self.models.items():
            try:
                found[model, use] = limits.partition(model, asked, minutes)
            except UserError as error:
                found[model, use] = error
        return found


def demands(config: Config, works: Iterable[Work]) -> list[Demand]:
    """Return what the trainings of the matrix, and the readings of probes, ask for, once each.

    Args:
        config: the whole configuration.
        works: what would run now.
    """
    longest = longest_jobs(works)
    wanted: dict[tuple[str, str, int, int], dict[tuple[str, Use], tuple[Request, int]]] = {}
    for name, use, asked in Costs(config).kinds():
        if asked.gpu:
            key = (asked.gpu_model, asked.slurm_type, asked.gpu, asked.nodes)
            # Each use counts: on the same GPUs one may ask for more memory, another for more time.
            wanted.setdefault(key, {})[name, use] = (asked, longest.get((name, use), 0))
    return [Demand(*key, models) for key, models in sorted(wanted.items())]


def partition_findings(config: Config, works: Iterable[Work], limits: Limits) -> Iterator[Finding]:
    """Compare the file of partitions with the cluster's, and what models ask for with both.

    Raises:
        UserError: if Slurm doesn't list its partitions.
    """
    present = _gpus_by_partition()
    yield from (
        _partition_finding(partition, present, limits.file) for partition in limits.partitions
    )
    for demand in demands(config, works):
        check = f"{demand.gpus} x {demand.gpu_model}"
        if demand.nodes > 1:
            check += f" on {demand.nodes} nodes"
        by_partition: dict[str, dict[str, None]] = {}
        refused: dict[Finding, None] = {}
        for (model, _), partition in demand.partitions(limits).items():
            if isinstance(partition, UserError):
                found, _, fix = str(partition).partition("; ")
                refused[Finding(check, found, fix)] = None
            else:
                by_partition.setdefault(partition, {})[model] = None
        yield from refused
        for name, of_model in by_partition.items():
            yield _demand_finding(demand, check, name, ", ".join(of_model), present)


def _demand_finding(
    demand: Demand, check: str, partition: str, models: str, present: dict[str, dict[str, int]]
) -> Finding:
    if present.get(partition, {}).get(demand.slurm_type, 0) < demand.gpus // demand.nodes:
        fix = "ask for fewer gpus, or more nodes, in config.yaml"
        return Finding(check, f"no node of {partition} has that many, for {models}", fix)
    return Finding(check, f"{partition}, for {models}")


def _partition_finding(
    partition: "Partition", present: dict[str, dict[str, int]], file: str
) -> Finding:
    check = f"partition {partition.name}"
    if partition.name not in present:
        names = ", ".join(sorted(present))
        return Finding(check, f"the cluster has none, only {names}", f"rename it in {file}")
    gpus = present[partition.name]
    if lacking := [
        model for model in partition.limits.available_gpu_models or () if model not in gpus
    ]:
        has = ", ".join(model or "untyped ones" for model in sorted(gpus)) or "none"
        found = f"its nodes have no GPU model {', '.join(lacking)}, only {has}"
        return Finding(check, found, f"correct available_gpu_models in {file}")
    has = ", ".join(f"{count} x {model or 'GPU'}" for model, count in sorted(gpus.items()))
    return Finding(check, f"a node has {has}" if has else "no GPUs")


def _gpus_by_partition() -> dict[str, dict[str, int]]:
    """Return by partition the GPU models of its nodes, and the most that a node has of each."""
    listed = run_slurm("sinfo", "--noheader", "--format=%R|%G", timeout=60)
    if isinstance(listed, Finding):
        raise UserError(f"preflight: {listed.found}; {listed.fix}")
    gpus: dict[str, dict[str, int]] = {}
    for line in listed.splitlines():
        name, gres = line.split("|", 1)
        most = gpus.setdefault(name, {})
        for model, count in re.findall(r"\bgpu:(?:([^:,(]+):)?(\d+)", gres):
            most[model] = max(most.get(model, 0), int(count))
    return gpus


def account_finding(account: str | None) -> Finding:
    """Check that the user may charge the account, or has one to be charged."""
    user = getpass.getuser()
    listed = run_slurm(
        "sacctmgr", "-nP", "show", "associations", f"user={user}", "format=account", timeout=60
    )
    if isinstance(listed, Finding):
        # Without an accounting database there is nobody to ask, and nothing to be charged.
        return Finding("account", "none needed") if account is None else listed
    known = sorted(set(listed.split()))
    where = "default-resources of profiles/slurm/config.yaml"
    if account is None:
        found = f"none named; Slurm charges one of {', '.join(known)}" if known else "none needed"
        return Finding("account", found)
    if known and account not in known:
        fix = f"{user} has {', '.join(known)}: name one as slurm_account in {where}"
        return Finding("account", f"{account} is not known", fix)
    return Finding("account", account)


def node_findings(
    config: Config, works: Iterable[Work], limits: Limits, account: str | None
) -> Iterator[Finding]:
    """Write into results/ from a node of each partition in use, and have torch count its GPUs."""
    in_use = {}
    for demand in demands(config, works):
        for partition in demand.partitions(limits).values():
            if isinstance(partition, str):
                in_use[partition, demand.slurm_type] = None
    Path(paths.RESULTS).mkdir(exist_ok=True)
    for partition_name, slurm_type in in_use:
        minutes = min(PATIENCE_MINUTES, limits.minutes(partition_name))
        yield from _node_findings(partition_name, slurm_type, account, minutes)


def _node_findings(
    partition: str, slurm_type: str, account: str | None, minutes: float
) -> Iterator[Finding]:
    mark = Path(f"{paths.RESULTS}/.preflight-{partition}-{os.getpid()}")
    printed = run_slurm(
        *(
            "srun",
            "--quiet",
            f"--partition={partition}",
            f"--gpus={slurm_type}:1" if slurm_type else "--gpus=1",
        ),
        *("--ntasks=1", "--mem=4G", *([f"--account={account}"] if account else [])),
        *(f"--time={max(1, int(minutes))}", f"--immediate={60 * PATIENCE_MINUTES}"),
        *(sys.executable, "-c", _ON_NODE, str(mark.absolute())),
        timeout=60 * (2 * PATIENCE_MINUTES + 1),
    )
    check = f"node of {partition}"
    if isinstance(printed, Finding):
        yield Finding(check, printed.found, printed.fix)
        return
    if mark.exists():
        yield Finding(check, f"{mark.read_text()} writes to {mark.parent.absolute()}")
        mark.unlink()
    else:
        fix = "run the workflow in a folder that all nodes share"
        yield Finding(check, f"what it wrote to {mark.parent.absolute()} is not here", fix)
    count, name = last_line(printed).split("|")
    if count == "0":
        fix = "check CUDA_VISIBLE_DEVICES, the driver (`nvidia-smi` there) and torch's build"
        yield Finding(check, f"torch sees no GPU where Slurm gave one {slurm_type}".rstrip(), fix)
    else:
        yield Finding(check, f"torch sees {count} x {name}")
