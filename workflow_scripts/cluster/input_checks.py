"""Checks before a run on the cluster: its models, its data, and the disk."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from workflow_scripts.cluster import room
from workflow_scripts.cluster.findings import Finding
from workflow_scripts.cluster.work import Work
from workflow_scripts.config import paths
from workflow_scripts.config.data import SETS, Source
from workflow_scripts.config.experiment import Config
from workflow_scripts.config.models import Model
from workflow_scripts.core.errors import first_line

GB = 1e9
_FIX_HUB = "check the network, the id, the revision and HF_TOKEN, or point `path` at a copy"


def model_findings(config: Config) -> Iterator[Finding]:
    """Check that each model of the matrix is here, or can be fetched."""
    for name in config.matrix.trained_models:
        section = config.models[name]
        check = f"model {name}"
        if (here := Path(paths.MODEL.format(model=name))).exists():
            yield Finding(check, f"in {here}")
        elif section.pretrain is not None:
            yield Finding(check, "pretrained here")
        elif section.path is not None:
            folder = Path(config.data_root, section.path)
            fix = f"correct models.{name}.path or data_root in config.yaml"
            yield (
                Finding(check, str(folder))
                if folder.is_dir()
                else Finding(check, f"no folder {folder}", fix)
            )
        elif section.package is not None:
            package = section.package
            yield Finding(check, f"package {package.name} {package.version}, downloaded by pip")
        else:
            yield _model_on_hub(check, section)


def _model_on_hub(check: str, model: Model) -> Finding:
    from huggingface_hub import HfApi

    where = f"{model.id} at {str(model.revision)[:12]}"
    ask = partial(HfApi().model_info, str(model.id), revision=model.revision, timeout=10)
    return _hub_finding(check, where, ask)


def _hub_finding(check: str, where: str, ask: Callable[[], object]) -> Finding:
    """Return whether the hub answers ``ask``."""
    try:
        ask()
    except Exception as error:  # of the hub, the network or the certificates
        return Finding(check, f"{where} cannot be fetched ({first_line(error)})", _FIX_HUB)
    return Finding(check, f"{where} can be fetched")


def data_findings(config: Config) -> Iterator[Finding]:
    """Check that each target's sets are here, or can be read."""
    for target in config.matrix.targets:
        check = f"data of {target}"
        if (here := Path(paths.DATA_REPORT.format(target=target))).exists():
            yield Finding(check, f"in {here.parent}")
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
        return Finding(check, f"no file {file}", "correct `path` or data_root in config.yaml")
    where = f"{source.hub} at {source.revision}"
    ask = partial(HfApi().dataset_info, str(source.hub), revision=source.revision, timeout=10)
    return _hub_finding(check, where, ask)


def disk_finding(needed: int) -> Finding:
    """Compare what checkpoints will take, in bytes, with what is free."""
    Path(paths.RESULTS).mkdir(exist_ok=True)
    free = shutil.disk_usage(paths.RESULTS).free
    found = f"{needed / GB:,.1f} GB of checkpoints to come, {free / GB:,.0f} GB free"
    if needed < free:
        return Finding("disk", found)
    return Finding(
        "disk",
        found,
        "set keep_checkpoints: ceilings or none, or checkpoint_dtype: bfloat16, or move results/ "
        "to a larger disk",
    )


def states_finding(config: Config, works: Iterable[Work]) -> Finding:
    """Compare the largest state of a training with what is free where states are."""
    folder = Path(config.execution.states or paths.RESULTS)
    folder.mkdir(parents=True, exist_ok=True)
    states = (room.state_bytes(config, item.model, item.use) for item in works if item.trains)
    needed = max(states, default=0)
    free = shutil.disk_usage(folder).free
    found = f"up to {needed / GB:,.1f} GB a training in {folder}, {free / GB:,.0f} GB free"
    if needed < free:
        return Finding("states", found)
    return Finding("states", found, "name a larger disk as execution.states, shared by all nodes")
