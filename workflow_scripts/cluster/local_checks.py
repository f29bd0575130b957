"""What a run without a cluster finds on this machine: its GPUs against what models ask for."""

import subprocess
from collections.abc import Iterable, Iterator

from workflow_scripts.cluster.findings import Finding
from workflow_scripts.cluster.model_sizes import shape_of
from workflow_scripts.cluster.work import Costs, Work
from workflow_scripts.config.experiment import Config
from workflow_scripts.core.errors import UserError

_FIX = (
    "set `gpus` of these in config.yaml, or describe the GPUs of this machine in `hardware`, alone"
)
LARGEST_ON_CPU = 500_000_000
"""Weights of a model that is still trained on a CPU, if only for a try."""
_MB = 2**20 / 1e9
"""GB in one of nvidia-smi's MiB."""


def check_gpus(config: Config, visible: int) -> None:
    """Check that no model of the matrix is trained on more GPUs than are visible.

    Raises:
        UserError: naming one that is, or that fits no GPU of `hardware`, and the key to change.
    """
    for model, _, asked in Costs(config).kinds():
        if asked.gpu > visible:
            raise UserError(
                f"models.{model}: its trainings ask for {asked.gpu} GPUs, and {_count(visible)} "
                f"visible here; set `gpus: {visible}`, or describe the GPUs of this machine in "
                "`hardware`, alone"
            )


def check_containers(config: Config) -> None:
    """Check that no training has to be started on several nodes, which a container cannot do.

    Raises:
        UserError: if one has, naming the model, or if a model fits no GPU of `hardware`.
    """
    for name, _, asked in Costs(config).kinds():
        if asked.nodes > 1:
            raise UserError(
                f"models.{name}.nodes: {asked.nodes}: a container starts ranks on its node alone; "
                "set 1, or leave out --software-deployment-method apptainer"
            )


def gpu_findings(config: Config, works: Iterable[Work], visible: int) -> Iterator[Finding]:
    """Compare the GPUs that are visible with what the trainings to come ask for.

    Args:
        config: the whole configuration.
        works: what would run now.
        visible: how many GPUs this process sees.
    """
    asking: dict[str, int] = {}
    planned: set[tuple[str, str]] = set()
    for item in works:
        asking[item.model] = max(item.gpus, asking.get(item.model, 0))
        if item.gpus:
            planned.add((item.model, item.asked.gpu_model))
    if not visible:
        large = sorted(model for model in asking if shape_of(config, model).params > LARGEST_ON_CPU)
        found = "none visible here, so that trainings run on the CPU"
        fix = f"{', '.join(large)} are too large for that: run where there is one"
        yield Finding("GPUs", found, fix if large else "")
        return
    yield Finding("GPUs", f"{_count(visible)} visible here: at most so many trainings run at once")
    unfit = sorted(model for model, gpus in asking.items() if gpus > visible)
    if unfit:
        most = max(asking[model] for model in unfit)
        yield Finding("GPUs", f"{', '.join(unfit)} ask for up to {most}", _FIX)
    yield from _memory_findings(config, sorted(planned))


def _memory_findings(config: Config, planned: Iterable[tuple[str, str]]) -> Iterator[Finding]:
    """Compare the memory of the GPUs that models are planned for with that of those here."""
    here = _memory_here()
    if here is None:
        return
    for model, gpu_model in planned:
        memory_gb = config.hardware[gpu_model].memory_gb
        if memory_gb > 1.1 * here:
            found = (
                f"{model} is planned for a {gpu_model} of {memory_gb:g} GB, one here has {here:.0f}"
            )
            yield Finding("GPU memory", found, _FIX)


def _memory_here() -> float | None:
    """Return the memory of the smallest GPU, in GB; None where nvidia-smi does not say."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        return min(float(line) for line in ran.stdout.splitlines()) * _MB
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def _count(gpus: int) -> str:
    return "1 GPU is" if gpus == 1 else f"{gpus} GPUs are"
