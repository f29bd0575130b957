"""Which GPUs hold a model, and how its trainings are shared out over them.

A model's entry in the configuration may set `gpu_model`, `gpus`, `nodes`, `zero` and `offload`;
what it leaves out becomes the smallest choice that fits (``cluster/memory.py``).
"""

import math
from collections.abc import Iterator

from workflow_scripts.cluster import memory
from workflow_scripts.cluster.memory import GB, Layout, Zero
from workflow_scripts.cluster.model_sizes import shape_of
from workflow_scripts.config.experiment import Config
from workflow_scripts.config.models import Model
from workflow_scripts.config.uses import Use
from workflow_scripts.core.errors import UserError


def chosen(config: Config, model: str, use: Use) -> tuple[str, Layout]:
    """Return the GPU model and the layout: the first that fits among those the entry allows.

    Raises:
        UserError: if none does, with the keys to change.
    """
    section = config.models[model]
    if section.gpus == 0:
        largest = config.execution.micro_batch
        micro_batch = largest if use == "probe" else largest_micro_batch(config, 1)
        return section.gpu_model or min(config.hardware), Layout(1, micro_batch)
    return (_reading if use == "probe" else _training)(config, model, use)


def readout_micro_batch(config: Config, model: str, gpu_model: str) -> int:
    """Return how many pairs a trained model is given at once: what fits the GPU, or the least."""
    if config.models[model].gpus == 0:
        return config.execution.micro_batch
    shape, gpu_bytes = shape_of(config, model), config.hardware[gpu_model].memory_gb * GB
    micro_batches = list(halvings(config.execution.micro_batch))
    for micro_batch in micro_batches:
        if memory.holds(shape, micro_batch, config.training.max_length, gpu_bytes, logits=True):
            return micro_batch
    return micro_batches[-1]


def _training(config: Config, model: str, use: Use) -> tuple[str, Layout]:
    section, shape = config.models[model], shape_of(config, model, use)
    layouts = list(_layouts(config, section, adapters=bool(shape.adapters)))
    for name, layout in layouts:
        gpu_bytes = config.hardware[name].memory_gb * GB
        if memory.fits(shape, layout, config.training.max_length, gpu_bytes):
            return name, layout
    if section.gpu_model is not None and section.gpus is not None:
        # The user's choice counts more than an estimate: take the layout with the least memory.
        return layouts[-1]
    raise UserError(
        f"models.{model}: its {use} fits no GPU of `hardware` in any way that its entry allows; "
        f"give it {', '.join(_ways_out(section, use))}, or set both `gpu_model` and `gpus` to try "
        "anyway"
    )


def _ways_out(model: Model, use: Use) -> Iterator[str]:
    """Yield what may make a model fit, and what its entry could say besides what it says."""
    if use == "training" and not (model.lora or model.zero or model.offload):
        yield "`lora: {r: 16, alpha: 32}`"
    yield "more `gpus`"
    # An entry with LoRA has neither ZeRO nor, for that, offloading.
    if not (model.lora or model.offload or model.zero == 0):
        yield "`offload: true`"


def _reading(config: Config, model: str, use: Use) -> tuple[str, Layout]:
    """Return the GPU with the least memory that holds the whole model while it reads texts."""
    section, shape = config.models[model], shape_of(config, model, use)
    gpus = [(gpu.memory_gb, name) for name, gpu in config.hardware.items()]
    allowed = sorted(gpu for gpu in gpus if section.gpu_model in (None, gpu[1]))
    ways = [
        (name, memory_gb * GB, micro_batch)
        for memory_gb, name in allowed
        for micro_batch in halvings(config.execution.micro_batch)
    ]
    for name, gpu_bytes, micro_batch in ways:
        length = config.training.max_length
        if memory.holds(shape, micro_batch, length, gpu_bytes, logits=False):
            return name, Layout(1, micro_batch)
    if section.gpu_model is not None and section.gpus is not None:
        name, _, micro_batch = ways[-1]
        return name, Layout(1, micro_batch)
    raise UserError(
        f"models.{model}: no GPU of `hardware` that its entry allows holds it, for its features "
        "to be read; set both `gpu_model` and `gpus` to try anyway, or `gpus: 0` for the CPU"
    )


def _layouts(config: Config, model: Model, *, adapters: bool) -> Iterator[tuple[str, Layout]]:
    """Yield GPU models and layouts that an entry allows, the cheapest and fastest first.

    ZeRO-3 comes after every layout without it, since it moves all weights between GPUs in every
    pass; offloading, slower still, comes last. Among the rest the least memory comes first; and
    with the same GPUs, a smaller micro-batch comes before computing activations again, which adds
    a third to every step.
    """
    ways: list[tuple[Zero, bool]] = [(0, False), (2, False), (3, False), (2, True), (3, True)]
    if adapters:
        ways = ways[:1]
    for groups in (ways[:2], *([way] for way in ways[2:])):
        for name, gpus in _gpus(config, model):
            for zero, offload in groups:
                # A single GPU can share nothing; several without ZeRO would only share the work.
                alone = gpus == 1
                shares = not adapters and model.zero is None and not offload
                if shares and alone != (zero == 0):
                    continue
                if model.zero not in (None, zero) or model.offload not in (None, offload):
                    continue
                largest = largest_micro_batch(config, gpus)
                for checkpointing in (False, True):
                    for micro_batch in halvings(largest):
                        yield name, Layout(gpus, micro_batch, zero, offload, checkpointing)


def _gpus(config: Config, model: Model) -> list[tuple[str, int]]:
    """Return the GPU models and numbers of GPUs that an entry allows, least memory first."""
    allowed = []
    for name, gpu in config.hardware.items():
        if model.gpu_model not in (None, name):
            continue
        per_node = [n for n in (1, 2, 4, 8, 16) if n <= gpu.per_node] or [1]
        counts = [n * model.nodes for n in per_node if n > 1 or model.nodes == 1]
        if model.gpus is not None:
            counts = [model.gpus]
        batch = config.training.batch_size
        allowed += [(gpu.memory_gb * n, name, n) for n in counts if batch % n == 0]
    return [(name, count) for _, name, count in sorted(allowed)]


def largest_micro_batch(config: Config, ranks: int) -> int:
    """Return the largest divisor of a rank's batch that divides the configured micro-batch too."""
    return math.gcd(config.execution.micro_batch, config.training.batch_size // ranks)


def halvings(micro_batch: int) -> Iterator[int]:
    """Yield ``micro_batch`` and its halves, as long as they are whole."""
    while True:
        yield micro_batch
        if micro_batch % 2:
            return
        micro_batch //= 2


def halved(micro_batch: int, times: int) -> int:
    """Return ``micro_batch`` halved ``times`` times, or as often as it can be."""
    found = list(halvings(micro_batch))
    return found[min(times, len(found) - 1)]
