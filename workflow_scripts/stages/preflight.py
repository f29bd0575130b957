"""Stage ``preflight``: check, before anything is queued, what a run on the cluster will need.

Every check is one line: what was found, or what is wrong and the mend.
"""

import argparse
import getpass
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from workflow_scripts.cluster import hardware
from workflow_scripts.cluster.partitions import Partition, partition_for, read_partitions
from workflow_scripts.config.data import SETS, Source
from workflow_scripts.config.experiment import Config
from workflow_scripts.config.models import Model
from workflow_scripts.core.errors import UserError
from workflow_scripts.stages import plan

GB = 1e9
PATIENCE_MINUTES = 2
"""How long a node is waited for."""
_ON_NODE = (
    "import pathlib, socket, sys, torch; "
    "pathlib.Path(sys.argv[1]).write_text(socket.gethostname()); "
    "n = torch.cuda.device_count(); "
    "print(n, torch.cuda.get_device_name(0) if n else 'none', sep='|')"
)


@dataclass(frozen=True)
class Finding:
    """The outcome of one check; without a mend all is well."""

    check: str
    found: str
    mend: str = ""


@dataclass(frozen=True)
class Demand:
    """What trainings of one kind ask for: so many GPUs of a model, over so many nodes."""

    gpu_model: str
    gpus: int
    nodes: int
    models: tuple[str, ...]

    def partition(self, partitions: Sequence[Partition]) -> Partition | None:
        """Return the partition whose jobs may have as many."""
        return partition_for(partitions, self.gpu_model, self.gpus, self.nodes)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments."""
    plan.add_workflow_arguments(parser)
    parser.add_argument("--account", nargs="?", help="the account that jobs are charged to")


def run(args: argparse.Namespace) -> None:
    """Print every finding.

    Raises:
        UserError: if a check failed, or there is no cluster to check.
    """
    if not args.partitions:
        raise UserError(
            "preflight: no partitions to check; run `snakemake --profile slurm preflight`, with "
            "`slurm-partition-config` in that profile"
        )
    if shutil.which("sinfo") is None:
        raise UserError("preflight: no `sinfo` here; run it where jobs are submitted from")
    config = Config.model_validate(args.config)
    partitions = read_partitions(args.partitions)
    made = plan.outputs(args)
    findings = [
        *cluster_findings(config, partitions, args.partitions),
        account_finding(args.account),
        *node_findings(config, partitions, args.account),
        *model_findings(config),
        *data_findings(config),
        disk_finding(plan.planned(config, made).bytes),
    ]
    table = Table(show_header=False, box=None)
    for finding in findings:
        sign = "[red]✗[/red]" if finding.mend else "[green]✓[/green]"
        text = f"{finding.found}; {finding.mend}" if finding.mend else finding.found
        table.add_row(sign, finding.check, text)
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    failed = sum(bool(finding.mend) for finding in findings)
    if failed:
        raise UserError(f"preflight: {failed} of {len(findings)} checks failed, as said above")


def demands(config: Config) -> list[Demand]:
    """Return what the trainings of the matrix ask for, one entry a GPU model and numbers."""
    wanted: dict[tuple[str, int, int], list[str]] = {}
    for name in sorted({model for pair in config.matrix.weak_strong for model in pair}):
        request = hardware.request(config, name, tokens=1)
        if request.gpu:
            asked = (request.gpu_model, request.gpu, request.nodes)
            wanted.setdefault(asked, []).append(name)
    return [Demand(*key, tuple(models)) for key, models in sorted(wanted.items())]


def cluster_findings(
    config: Config, partitions: Sequence[Partition], file: str
) -> Iterator[Finding]:
    """Compare partitions.yaml with the cluster, and what models ask for with both."""
    there = _gpus_of_partitions()
    for partition in partitions:
        check = f"partition {partition.name}"
        if partition.name not in there:
            names = ", ".join(sorted(there))
            yield Finding(check, f"the cluster has none, only {names}", f"rename it in {file}")
            continue
        gpus = there[partition.name]
        if lacking := [model for model in partition.gpu_models if model not in gpus]:
            has = ", ".join(sorted(gpus)) or "none"
            found = f"its nodes have no GPU model {', '.join(lacking)}, only {has}"
            yield Finding(check, found, f"mend available_gpu_models in {file}")
        else:
            has = ", ".join(f"{count} x {model}" for model, count in sorted(gpus.items()))
            yield Finding(check, f"a node has {has}" if has else "no GPUs")
    for demand in demands(config):
        check = f"{demand.gpus} x {demand.gpu_model}"
        if demand.nodes > 1:
            check += f" on {demand.nodes} nodes"
        models = ", ".join(demand.models)
        partition = demand.partition(partitions)
        if partition is None:
            mend = (
                f"raise max_gpu or max_nodes in {file}, or change gpu_model, gpus or nodes of "
                "these in config.yaml"
            )
            yield Finding(check, f"no partition for {models}", mend)
        elif there.get(partition.name, {}).get(demand.gpu_model, 0) < demand.gpus // demand.nodes:
            mend = "ask for fewer gpus, or more nodes, in config.yaml"
            yield Finding(check, f"no node of {partition.name} has as many, for {models}", mend)
        else:
            yield Finding(check, f"{partition.name}, for {models}")


def account_finding(account: str | None) -> Finding:
    """Check that the user may charge the account, or has one to be charged."""
    user = getpass.getuser()
    said = _slurm(
        "sacctmgr", "-nP", "show", "associations", f"user={user}", "format=account", timeout=60
    )
    if isinstance(said, Finding):
        return said
    known = sorted(set(said.split()))
    where = "default-resources of profiles/slurm/config.yaml"
    if account is None:
        found = f"none named; Slurm charges one of {', '.join(known)}" if known else "none needed"
        return Finding("account", found)
    if known and account not in known:
        mend = f"{user} has {', '.join(known)}: name one as slurm_account in {where}"
        return Finding("account", f"{account} is not known", mend)
    return Finding("account", account)


def node_findings(
    config: Config, partitions: Sequence[Partition], account: str | None
) -> Iterator[Finding]:
    """Write into results/ from a node of each partition in use, and have torch count its GPUs."""
    asked = {}
    for demand in demands(config):
        partition = demand.partition(partitions)
        if partition is not None:
            asked[partition.name, demand.gpu_model] = None
    Path("results").mkdir(exist_ok=True)
    for partition_name, gpu_model in asked:
        yield from _node_findings(partition_name, gpu_model, account)


def _node_findings(partition: str, gpu_model: str, account: str | None) -> Iterator[Finding]:
    mark = Path(f"results/.preflight-{partition}-{os.getpid()}")
    said = _slurm(
        *(
            "srun",
            "--quiet",
            f"--partition={partition}",
            f"--gpus={gpu_model}:1",
            "--ntasks=1",
            "--mem=4G",
        ),
        *([f"--account={account}"] if account else []),
        *(f"--time={PATIENCE_MINUTES}", f"--immediate={60 * PATIENCE_MINUTES}"),
        *(sys.executable, "-c", _ON_NODE, str(mark.absolute())),
        timeout=60 * (2 * PATIENCE_MINUTES + 1),
    )
    check = f"node of {partition}"
    if isinstance(said, Finding):
        yield Finding(check, said.found, said.mend)
        return
    if mark.exists():
        yield Finding(check, f"{mark.read_text()} writes to {mark.parent.absolute()}")
        mark.unlink()
    else:
        mend = "run the workflow in a folder that all nodes share"
        yield Finding(check, f"what it wrote to {mark.parent.absolute()} is not here", mend)
    count, name = said.strip().splitlines()[-1].split("|")
    if count == "0":
        mend = "check CUDA_VISIBLE_DEVICES, the driver (`nvidia-smi` there) and torch's build"
        yield Finding(check, f"torch sees no GPU where Slurm gave one {gpu_model}", mend)
    else:
        yield Finding(check, f"torch sees {count} x {name}")


def model_findings(config: Config) -> Iterator[Finding]:
    """Check that each model of the matrix is here, or can be fetched."""
    for name in sorted({model for pair in config.matrix.weak_strong for model in pair}):
        section = config.models[name]
        check = f"model {name}"
        if Path("results/models", name).exists():
            yield Finding(check, f"in results/models/{name}")
        elif section.pretrain is not None:
            yield Finding(check, "pretrained here")
        elif section.path is not None:
            folder = Path(config.data_root, section.path)
            mend = f"mend models.{name}.path or data_root in config.yaml"
            yield (
                Finding(check, str(folder))
                if folder.is_dir()
                else Finding(check, f"no folder {folder}", mend)
            )
        else:
            yield _model_on_hub(check, section)


def _model_on_hub(check: str, model: Model) -> Finding:
    from huggingface_hub import HfApi

    where = f"{model.id} at {str(model.revision)[:12]}"
    try:
        HfApi().model_info(str(model.id), revision=model.revision, timeout=10)
    except Exception as error:  # the hub's, the network's and the certificates' alike
        return Finding(check, f"{where} cannot be fetched ({_first_line(error)})", _MEND_HUB)
    return Finding(check, f"{where} can be fetched")


_MEND_HUB = "check the network, the id, the revision and HF_TOKEN, or point `path` at a copy"


def data_findings(config: Config) -> Iterator[Finding]:
    """Check that each target's sets are here, or can be read."""
    for target in config.matrix.targets:
        check = f"data of {target}"
        if Path("results/data", target, "report.json").exists():
            yield Finding(check, f"in results/data/{target}")
            continue
        sources = []
        for name in SETS:
            source = getattr(config.targets[target].sets, name).source
            if source not in sources:
                sources.append(source)
        yield from (_source_finding(config, check, source) for source in sources)


def _source_finding(config: Config, check: str, source: Source) -> Finding:
    from huggingface_hub import HfApi

    if source.world:
        return Finding(check, f"world {source.world} is generated here")
    if source.path:
        file = Path(config.data_root, source.path)
        if file.exists():
            return Finding(check, str(file))
        return Finding(check, f"no file {file}", "mend `path` or data_root in config.yaml")
    where = f"{source.hub} at {source.revision}"
    try:
        HfApi().dataset_info(str(source.hub), revision=source.revision, timeout=10)
    except Exception as error:  # as of a model
        return Finding(check, f"{where} cannot be fetched ({_first_line(error)})", _MEND_HUB)
    return Finding(check, f"{where} can be fetched")


def disk_finding(needed: int) -> Finding:
    """Compare what checkpoints will take with what is free."""
    Path("results").mkdir(exist_ok=True)
    free = shutil.disk_usage("results").free
    found = f"{needed / GB:,.1f} GB of checkpoints to come, {free / GB:,.0f} GB free"
    if needed < free:
        return Finding("disk", found)
    return Finding("disk", found, "set keep_checkpoints: false, or move results/ to a larger disk")


def _gpus_of_partitions() -> dict[str, dict[str, int]]:
    """Return by partition the GPU models of its nodes, and the most that a node has of each."""
    said = _slurm("sinfo", "--noheader", "--format=%R|%G", timeout=60)
    if isinstance(said, Finding):
        raise UserError(f"preflight: {said.found}; {said.mend}")
    gpus: dict[str, dict[str, int]] = {}
    for line in said.splitlines():
        name, gres = line.split("|", 1)
        of_partition = gpus.setdefault(name, {})
        for model, count in re.findall(r"gpu:([\w.]+):(\d+)", gres):
            of_partition[model] = max(of_partition.get(model, 0), int(count))
    return gpus


def _slurm(*command: str, timeout: float) -> str | Finding:
    """Run one of Slurm's commands and return what it said, or the finding that it failed."""
    name = command[0]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        return Finding(name, f"{name} had no answer in {timeout:.0f} s", "try again later")
    if ran.returncode:
        return Finding(name, f"{name} failed ({_first_line(ran.stderr)})", f"try it: {name} …")
    return ran.stdout


def _first_line(error: object) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
