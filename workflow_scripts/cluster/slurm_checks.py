"""Checks before a run on the cluster: its partitions, the user's account, and its nodes."""

import getpass
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.cluster import hardware
from workflow_scripts.cluster.findings import Finding, run_slurm
from workflow_scripts.cluster.partitions import Partition, partition_for
from workflow_scripts.config import paths
from workflow_scripts.config.experiment import Config
from workflow_scripts.core.errors import UserError, last_line

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
    """What trainings of one kind ask for: a number of GPUs of a model, over a number of nodes."""

    gpu_model: str
    slurm_type: str
    gpus: int
    nodes: int
    models: tuple[str, ...]

    def partition(self, partitions: Sequence[Partition]) -> Partition | None:
        """Return the partition whose jobs may have that many."""
        return partition_for(partitions, self.slurm_type, self.gpus, self.nodes)


def demands(config: Config) -> list[Demand]:
    """Return what the trainings of the matrix ask for, without repetitions."""
    wanted: dict[tuple[str, str, int, int], list[str]] = {}
    for name in sorted({model for pair in config.matrix.weak_strong for model in pair}):
        request = hardware.request(config, name, tokens=1)
        if request.gpu:
            key = (request.gpu_model, request.slurm_type, request.gpu, request.nodes)
            wanted.setdefault(key, []).append(name)
    return [Demand(*key, tuple(models)) for key, models in sorted(wanted.items())]


def partition_findings(
    config: Config, partitions: Sequence[Partition], file: str
) -> Iterator[Finding]:
    """Compare the partitions of ``file`` with the cluster's, and what models ask for with both.

    Raises:
        UserError: if Slurm doesn't list its partitions.
    """
    present = _gpus_by_partition()
    yield from (_partition_finding(partition, present, file) for partition in partitions)
    for demand in demands(config):
        check = f"{demand.gpus} x {demand.gpu_model}"
        if demand.nodes > 1:
            check += f" on {demand.nodes} nodes"
        models = ", ".join(demand.models)
        partition = demand.partition(partitions)
        if partition is None:
            fix = (
                f"raise max_gpu or max_nodes in {file}, or change gpu_model, gpus or nodes of "
                "these in config.yaml"
            )
            yield Finding(check, f"no partition for {models}", fix)
        elif (
            present.get(partition.name, {}).get(demand.slurm_type, 0) < demand.gpus // demand.nodes
        ):
            fix = "ask for fewer gpus, or more nodes, in config.yaml"
            yield Finding(check, f"no node of {partition.name} has that many, for {models}", fix)
        else:
            yield Finding(check, f"{partition.name}, for {models}")


def _partition_finding(
    partition: Partition, present: dict[str, dict[str, int]], file: str
) -> Finding:
    check = f"partition {partition.name}"
    if partition.name not in present:
        names = ", ".join(sorted(present))
        return Finding(check, f"the cluster has none, only {names}", f"rename it in {file}")
    gpus = present[partition.name]
    if lacking := [model for model in partition.gpu_models if model not in gpus]:
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
        return listed
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
    config: Config, partitions: Sequence[Partition], account: str | None
) -> Iterator[Finding]:
    """Write into results/ from a node of each partition in use, and have torch count its GPUs."""
    in_use = {}
    for demand in demands(config):
        partition = demand.partition(partitions)
        if partition is not None:
            in_use[partition.name, demand.slurm_type] = None
    Path(paths.RESULTS).mkdir(exist_ok=True)
    for partition_name, slurm_type in in_use:
        yield from _node_findings(partition_name, slurm_type, account)


def _node_findings(partition: str, slurm_type: str, account: str | None) -> Iterator[Finding]:
    mark = Path(f"{paths.RESULTS}/.preflight-{partition}-{os.getpid()}")
    printed = run_slurm(
        *(
            "srun",
            "--quiet",
            f"--partition={partition}",
            f"--gpus={slurm_type}:1" if slurm_type else "--gpus=1",
        ),
        *("--ntasks=1", "--mem=4G", *([f"--account={account}"] if account else [])),
        *(f"--time={PATIENCE_MINUTES}", f"--immediate={60 * PATIENCE_MINUTES}"),
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
