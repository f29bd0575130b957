"""What jobs ask a cluster for: GPUs, memory and time, by ``cluster/layouts.py`` and a model's size.

None of this is part of a slice: where a model is trained reruns nothing.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

from workflow_scripts.cluster import memory
from workflow_scripts.cluster.layouts import chosen, halved, readout_micro_batch
from workflow_scripts.cluster.memory import GB, Layout, Zero
from workflow_scripts.cluster.model_sizes import shape_of
from workflow_scripts.cluster.shapes import Precision
from workflow_scripts.config.experiment import Config
from workflow_scripts.config.uses import Use

UTILISATION = 0.3
"""The share of a GPU's peak that trainings reach; `plan` assumes it until it has measurements."""
TIME_MARGIN = 3
FLOAT32_SHARE = 1 / 16
"""Float32 operations in the time of a bfloat16 one, where `hardware` does not give `fp32_tflops`.

An A100's, and fewer than most GPUs': a job's time limit is rather too long than too short.
"""
_PARTS = ("weights", "gradients", "optimizer", "casts", "activations", "logits", "buffers")


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


def request(
    config: Config,
    model: str,
    *,
    tokens: int,
    growth: Growth = NO_GROWTH,
    use: Use = "training",
) -> Request:
    """Return what training ``model`` on ``tokens`` tokens, or pretraining it, asks for.

    Raises:
        UserError: if the model's entry asks for what cannot be, or it fits none of the GPUs.
    """
    section = config.models[model]
    shape = shape_of(config, model, use)
    name, layout = chosen(config, model, use)
    seconds = training_seconds(config, model, tokens, use)
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
        micro_batch=halved(layout.micro_batch, growth.memory),
        mem_mb=math.ceil(memory.host(shape, held, section.nodes) / 1e6) << growth.memory,
        runtime_min=minutes(config, seconds) << growth.time,
    )


def readout(config: Config, model: str, *, tokens: int, growth: Growth = NO_GROWTH) -> Request:
    """Return what reading a trained model out asks for: the GPUs of its training, all at work.

    It runs in the same Slurm job, and each GPU holds the whole model: in float32 the 7B models'
    weights are 29 GB, so a single GPU of the paper holds any of its models.

    Raises:
        UserError: as ``request``.
    """
    name, of_training = chosen(config, model, "training")
    layout = Layout(of_training.ranks, readout_micro_batch(config, model, name))
    nodes = config.models[model].nodes
    return _scoring(config, model, tokens, growth, name, layout, nodes, "training")


def scoring(config: Config, model: str, *, tokens: int, growth: Growth = NO_GROWTH) -> Request:
    """Return what a linear probe's model asks for, to be read or have a head trained: one GPU.

    Raises:
        UserError: if none of the GPUs holds the model.
    """
    name, layout = chosen(config, model, "probe")
    return _scoring(config, model, tokens, growth, name, layout, 1, "probe")


def _scoring(
    config: Config,
    model: str,
    tokens: int,
    growth: Growth,
    gpu_model: str,
    layout: Layout,
    nodes: int,
    use: Use,
) -> Request:
    """Return what scoring texts asks for, on GPUs each of which holds the whole model."""
    seconds = scoring_seconds(config, model, tokens, use) / layout.ranks
    host = memory.host(shape_of(config, model, use), layout, nodes)
    return Request(
        gpu=0 if config.models[model].gpus == 0 else layout.ranks,
        gpu_model=gpu_model,
        slurm_type=slurm_type(config, gpu_model),
        gpus_per_node=_per_node(layout.ranks, nodes),
        nodes=nodes,
        zero=layout.zero,
        offload=layout.offload,
        checkpointing=layout.checkpointing,
        micro_batch=halved(layout.micro_batch, growth.memory),
        mem_mb=math.ceil(host / 1e6) << growth.memory,
        runtime_min=minutes(config, seconds) << growth.time,
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


def training_seconds(config: Config, model: str, tokens: int, use: Use = "training") -> float:
    """Return about how long a training takes: 6 floating-point operations a weight and token.

    Gradient checkpointing adds another forward pass, 2 more; with LoRA the gradients of the model's
    own weights, 2 of them, are left out.
    """
    shape = shape_of(config, model, use)
    name, layout = chosen(config, model, use)
    passes = 6 + 2 * layout.checkpointing - 2 * bool(shape.adapters)
    operations = passes * shape.params * tokens
    return operations / (layout.ranks * peak(config, name, shape.precision) * UTILISATION)


def scoring_seconds(config: Config, model: str, tokens: int, use: Use = "training") -> float:
    """Return how long all GPUs together take to score texts: 2 operations a weight and token."""
    shape = shape_of(config, model, use)
    name, _ = chosen(config, model, use)
    return tokens * 2 * shape.params / (peak(config, name, shape.precision) * UTILISATION)


def peak(config: Config, gpu_model: str, precision: Precision) -> float:
    """Return the most operations a second of a GPU model's matrix products.

    Float32 has no tensor cores: torch uses TF32 only where it is told to, and nothing here does.
    """
    gpu = config.hardware[gpu_model]
    if precision == "bfloat16":
        return gpu.bf16_tflops * 1e12
    return (gpu.fp32_tflops or FLOAT32_SHARE * gpu.bf16_tflops) * 1e12


def tokens_of_pairs(config: Config, pairs: int, epochs: int = 1) -> int:
    """Return the most tokens in a training on ``pairs`` pairs, two texts each."""
    return 2 * config.training.max_length * pairs * epochs


def table(config: Config) -> str:
    """Return docs/memory.md's table: where each model is trained, and what a GPU holds then."""
    head = ("model", "GPUs", "ZeRO", "recompute", "micro-batch", *_PARTS, "GB a GPU", "host GB")
    rows = [head, ("---",) * len(head)]
    for model in config.models:
        shape = shape_of(config, model)
        name, layout = chosen(config, model, "training")
        need = memory.training(shape, layout, config.training.max_length)
        parts = [getattr(need, part) for part in _PARTS]
        numbers = [f"{size / GB:.1f}" for size in (*parts, need.total, memory.host(shape, layout))]
        recompute = "yes" if layout.checkpointing else "no"
        ways = (f"{layout.ranks} x {name}", str(layout.zero), recompute, str(layout.micro_batch))
        rows.append((model, *ways, *numbers))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
