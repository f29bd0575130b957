"""Which GPUs a model is trained on, how many, and for how long jobs ask for them.

A model's entry in the configuration may set `gpu_model`, `gpus`, `nodes`, `zero` and `offload`;
what it leaves out becomes the smallest choice that fits (``cluster/memory.py``). None of this is
part of a slice: where a model is trained reruns nothing.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from workflow_scripts.cluster import memory
from workflow_scripts.cluster.memory import GB, Layout, Shape, Zero
from workflow_scripts.cluster.model_sizes import size_of
from workflow_scripts.config.experiment import Config
from workflow_scripts.config.models import Model
from workflow_scripts.core.errors import UserError

UTILISATION = 0.3
"""The share of a GPU's peak that trainings reach; `plan` assumes it until it has measurements."""
TIME_MARGIN = 3
_PARTS = ("weights", "gradients", "optimizer", "casts", "activations", "logits", "buffers")
ASSUMED_PARAMS = 1_500_000_000
"""Weights of a model whose entry has no `params`, as long as none of its files are here."""


@dataclass(frozen=True)
class Growth:
    """What a further attempt gets more of, after what the attempts before it have failed for.

    Attributes:
        memory: how often memory is doubled and the micro-batch halved.
        time: how often the time limit is doubled.
    """

    memory: int = 0
    time: int = 0


@dataclass(frozen=True)
class Request:
    """What a rule asks the cluster for, and how it uses that.

    Attributes:
        gpu: GPUs over all nodes, one rank each; 0 for a training on the CPU, one rank.
        gpu_model: one of the configuration's `hardware`.
        slurm_type: what Slurm calls it; empty where it gives GPUs no type.
        gpus_per_node: GPUs of each node of a job on several nodes; 0 for a job on one.
        nodes: machines.
        zero: DeepSpeed's ZeRO stage; 0 is none.
        offload: whether the optimizer's state is in the host's memory.
        checkpointing: whether activations are computed again in the backward pass.
        micro_batch: pairs in one forward of one rank; ranks times it divide the batch.
        mem_mb: the host's memory for all ranks, in MB.
        runtime_min: the time limit, in minutes.
    """

    gpu: int
    gpu_model: str
    slurm_type: str
    gpus_per_node: int
    nodes: int
    zero: Zero
    offload: bool
    checkpointing: bool
    micro_batch: int
    mem_mb: int
    runtime_min: int

    @property
    def ranks(self) -> int:
        """Processes that train together."""
        return max(1, self.gpu)

    @property
    def gres(self) -> str | None:
        """The GPUs of each node in Slurm's words: it spreads a total as it likes, 7 and 1 of 8."""
        if not self.gpus_per_node:
            return None
        return ":".join(filter(None, ("gpu", self.slurm_type, str(self.gpus_per_node))))

    @cached_property
    def resources(self) -> dict[str, int | str | None]:
        """By what names of resources Snakemake's Slurm plugin allocates the job.

        A job of one rank has nothing of several ranks, not even a node, which groups add up.
        """
        several = self.ranks > 1
        return {
            "gpu": None if self.gres else self.gpu,
            "gpu_model": (self.slurm_type or None) if self.gpu and not self.gres else None,
            "gres": self.gres,
            "mem_mb": self.mem_mb // self.nodes,
            "runtime": self.runtime_min,
            "nodes": self.nodes if several else None,
            "mpi": "srun" if several else None,
            "tasks_per_node": self.ranks // self.nodes if several else None,
        }


NO_GROWTH = Growth()


def request(config: Config, model: str, *, tokens: int, growth: Growth = NO_GROWTH) -> Request:
    """Return what a training of ``model`` on ``tokens`` tokens asks for.

    Raises:
        UserError: if the model's entry asks for what cannot be, or it fits none of the GPUs.
    """
    section = config.models[model]
    shape = shape_of(config, model)
    name, layout = _chosen(config, model, shape)
    seconds = training_seconds(config, model, tokens)
    # Without a GPU everything is in the host's memory, as if it were offloaded.
    held = replace(layout, offload=layout.offload or section.gpus == 0)
    return Request(
        gpu=0 if section.gpus == 0 else layout.ranks,
        gpu_model=name,
        slurm_type=slurm_type(config, name),
        gpus_per_node=_per_node(layout.ranks, section.nodes),
        nodes=section.nodes,
        zero=layout.zero,
        offload=layout.offload,
        checkpointing=layout.checkpointing,
        micro_batch=_halved(layout.micro_batch, growth.memory),
        mem_mb=math.ceil(memory.host(shape, held, section.nodes) / 1e6) << growth.memory,
        runtime_min=minutes(config, seconds) << growth.time,
    )


def readout(config: Config, model: str, *, tokens: int, growth: Growth = NO_GROWTH) -> Request:
    """Return what reading a trained model out asks for: the GPUs of its training, all at work.

    It runs in the same Slurm job, and each GPU holds the whole model: in float32 the 7B models'
    weights are 29 GB, so a single GPU of the paper holds any of its models.
    """
    section = config.models[model]
    _, layout = _chosen(config, model, shape_of(config, model))
    return _scoring(config, model, tokens, growth, ranks=layout.ranks, nodes=section.nodes)


def scoring(config: Config, model: str, *, tokens: int, growth: Growth = NO_GROWTH) -> Request:
    """Return what scoring texts on one GPU asks for, in a Slurm job of its own."""
    return _scoring(config, model, tokens, growth, ranks=1, nodes=1)


def _scoring(
    config: Config, model: str, tokens: int, growth: Growth, *, ranks: int, nodes: int
) -> Request:
    """Return what scoring texts on so many GPUs asks for, each of which holds the whole model."""
    shape = shape_of(config, model)
    name, _ = _chosen(config, model, shape)
    layout = Layout(ranks, _halved(config.execution.micro_batch, growth.memory))
    return Request(
        gpu=0 if config.models[model].gpus == 0 else ranks,
        gpu_model=name,
        slurm_type=slurm_type(config, name),
        gpus_per_node=_per_node(ranks, nodes),
        nodes=nodes,
        zero=layout.zero,
        offload=layout.offload,
        checkpointing=layout.checkpointing,
        micro_batch=layout.micro_batch,
        mem_mb=math.ceil(memory.host(shape, layout, nodes) / 1e6) << growth.memory,
        runtime_min=minutes(config, scoring_seconds(config, model, tokens) / ranks) << growth.time,
    )


def minutes(config: Config, seconds: float) -> int:
    """Return the time limit of a job that works for about so many seconds once it has started."""
    return math.ceil(config.execution.start_minutes + TIME_MARGIN * seconds / 60)


def slurm_type(config: Config, gpu_model: str) -> str:
    """Return what Slurm calls a GPU model; empty where it gives GPUs no type."""
    named = config.hardware[gpu_model].slurm_type
    return gpu_model if named is None else named


def _per_node(ranks: int, nodes: int) -> int:
    return ranks // nodes if nodes > 1 else 0


def training_seconds(config: Config, model: str, tokens: int) -> float:
    """Return about how long a training takes: 6 floating-point operations a weight and token.

    Gradient checkpointing adds another forward pass, 2 more; with LoRA the gradients of the model's
    own weights, 2 of them, are left out.
    """
    shape = shape_of(config, model)
    name, layout = _chosen(config, model, shape)
    passes = 6 + 2 * layout.checkpointing - 2 * bool(shape.adapters)
    operations = passes * shape.params * tokens
    return operations / (layout.ranks * config.hardware[name].bf16_tflops * 1e12 * UTILISATION)


def scoring_seconds(config: Config, model: str, tokens: int) -> float:
    """Return how long all GPUs together take to score texts: 2 operations a weight and token."""
    shape = shape_of(config, model)
    name, _ = _chosen(config, model, shape)
    return tokens * 2 * shape.params / (config.hardware[name].bf16_tflops * 1e12 * UTILISATION)


def tokens_of_pairs(config: Config, pairs: int, epochs: int = 1) -> int:
    """Return the most tokens in a training on ``pairs`` pairs, two texts each."""
    return 2 * config.training.max_length * pairs * epochs


def shape_of(config: Config, name: str) -> Shape:
    """Return a model's numbers: from its entry or, where it leaves them out, from its files."""
    model = config.models[name]
    if model.pretrain is not None:
        architecture = model.pretrain.architecture
        width, layers = architecture.width, architecture.layers
        params = 16 * layers * width**2 + 2000 * width
        return _adapted(model, Shape.of(params, architecture.family, width, layers))
    read = size_of(config, name)
    shape = Shape.of(
        model.params or read.params or ASSUMED_PARAMS,
        model.family or read.family,
        model.width or read.width,
        model.layers or read.layers,
        read.vocabulary,
    )
    return _adapted(model, shape)


def _adapted(model: Model, shape: Shape) -> Shape:
    if model.lora is None:
        return shape
    targets = model.lora.targets
    return shape.with_adapters(model.lora.r, None if targets is None else len(targets))


def _chosen(config: Config, model: str, shape: Shape) -> tuple[str, Layout]:
    """Return the GPU model and the layout: the first that fits among those the entry allows."""
    section = config.models[model]
    length = config.training.max_length
    if section.gpus == 0:
        return section.gpu_model or min(config.hardware), Layout(1, largest_micro_batch(config, 1))
    layouts = list(_layouts(config, section))
    for name, layout in layouts:
        if memory.fits(shape, layout, length, config.hardware[name].memory_gb * GB):
            return name, layout
    if section.gpu_model is not None and section.gpus is not None:
        # The user's choice counts more than an estimate: take the layout with the least memory.
        return layouts[-1]
    lora = "" if section.lora else "`lora: {r: 16, alpha: 32}`, "
    raise UserError(
        f"models.{model}: its training fits no GPU of `hardware` in any way that its entry allows; "
        f"give it {lora}more `gpus`, `offload: true`, or set both `gpu_model` and `gpus` to try "
        "anyway"
    )


def _layouts(config: Config, model: Model) -> Iterator[tuple[str, Layout]]:
    """Yield GPU models and layouts that an entry allows, the cheapest and fastest first.

    ZeRO-3 comes after every layout without it, since it moves all weights between GPUs in every
    pass; offloading, slower still, comes last. Among the rest the least memory comes first; and
    with the same GPUs, a smaller micro-batch comes before computing activations again, which adds
    a third to every step.
    """
    ways: list[tuple[Zero, bool]] = [(0, False), (2, False), (3, False), (2, True), (3, True)]
    if model.lora:
        ways = ways[:1]
    for groups in (ways[:2], *([way] for way in ways[2:])):
        for name, gpus in _gpus(config, model):
            for zero, offload in groups:
                # A single GPU can share nothing; several without ZeRO would only share the work.
                alone = gpus == 1
                shares = model.lora is None and model.zero is None and not offload
                if shares and alone != (zero == 0):
                    continue
                if model.zero not in (None, zero) or model.offload not in (None, offload):
                    continue
                largest = largest_micro_batch(config, gpus)
                for checkpointing in (False, True):
                    for micro_batch in _halvings(largest):
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


def _halvings(micro_batch: int) -> Iterator[int]:
    """Yield ``micro_batch`` and its halves, as long as they are whole."""
    while True:
        yield micro_batch
        if micro_batch % 2:
            return
        micro_batch //= 2


def _halved(micro_batch: int, times: int) -> int:
    """Return ``micro_batch`` halved ``times`` times, or as often as it can be."""
    halvings = list(_halvings(micro_batch))
    return halvings[min(times, len(halvings) - 1)]


def table(config: Config) -> str:
    """Return docs/memory.md's table: where each model is trained, and what a GPU holds then."""
    head = ("model", "GPUs", "ZeRO", "recompute", "micro-batch", *_PARTS, "GB a GPU", "host GB")
    rows = [head, ("---",) * len(head)]
    for model in config.models:
        shape = shape_of(config, model)
        name, layout = _chosen(config, model, shape)
        need = memory.training(shape, layout, config.training.max_length)
        parts = [getattr(need, part) for part in _PARTS]
        numbers = [f"{size / GB:.1f}" for size in (*parts, need.total, memory.host(shape, layout))]
        recompute = "yes" if layout.checkpointing else "no"
        ways = (f"{layout.ranks} x {name}", str(layout.zero), recompute, str(layout.micro_batch))
        rows.append((model, *ways, *numbers))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
