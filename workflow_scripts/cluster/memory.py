"""How much memory a training needs: a small model of what a GPU holds at its peak.

Weights, gradients and Adam's two moments are float32 (the weights are the master weights); matrix
products run in bfloat16 through autocast, or in float32 where `compat.precision` asks for it.
`Need` lists the parts that are counted; docs/memory.md has the table for the paper's models.
Nothing here imports torch.
"""

from dataclasses import dataclass, fields
from typing import Literal

from workflow_scripts.cluster.shapes import Shape
from workflow_scripts.config.zero import BUCKET, LIVE

CHANGES_NO_RESULT = "how much memory a training needs, whatever its result"

Zero = Literal[0, 2, 3]

GB = 1e9
USABLE = 0.9
"""The share of a GPU's memory that tensors can fill; the rest is CUDA's, or lost between blocks."""
TIED_BELOW = 5e9
"""Models of fewer weights usually have their embeddings as their head."""
RESIDUAL_BYTES = 4
"""By width and token: what gradient checkpointing keeps of a layer, its input."""


@dataclass(frozen=True)
class Layout:
    """How a training is distributed over GPUs.

    Attributes:
        ranks: GPUs that train together.
        micro_batch: pairs in one forward of one rank.
        zero: DeepSpeed's ZeRO stage, 0 for none.
        offload: whether Adam's moments and the master weights are in the host's memory.
        checkpointing: whether activations are computed again in the backward pass.
    """

    ranks: int
    micro_batch: int
    zero: Zero = 0
    offload: bool = False
    checkpointing: bool = False


@dataclass(frozen=True)
class Need:
    """What one GPU holds at its peak, in bytes by part."""

    weights: float
    gradients: float
    optimizer: float
    casts: float
    activations: float
    logits: float
    buffers: float

    @property
    def total(self) -> float:
        """All parts together."""
        return sum(getattr(self, part.name) for part in fields(self))


def training(shape: Shape, layout: Layout, max_length: int) -> Need:
    """Return the bytes that one GPU holds while it trains on texts of ``max_length`` tokens.

    This is the worst case: every text is that long, and every token is a response's, so it has
    logits.
    """
    tokens = 2 * layout.micro_batch * max_length
    if shape.adapters:
        return _with_adapters(shape, layout, tokens)
    weights = 4.0 * shape.params
    share = weights / layout.ranks
    layer = weights / shape.layers
    match layout.zero:
        case 0:
            held, gradients, optimizer = weights, weights, 2 * weights
            # Data-parallel ranks copy gradients into buckets to reduce them.
            buffers = weights if layout.ranks > 1 else 0.0
        case 2:
            held, gradients = weights, share
            optimizer, buffers = 3 * share, 8.0 * BUCKET
        case 3:
            held, gradients = share, share
            optimizer, buffers = 3 * share, 8.0 * BUCKET + max(4.0 * LIVE, 2 * layer)
    if layout.offload:
        optimizer = 0.0
    per_layer = tokens * shape.width
    activations = shape.saved * per_layer * shape.layers
    casts = shape.arithmetic.cast * shape.params
    if layout.checkpointing:
        activations = (RESIDUAL_BYTES * shape.layers + shape.saved) * per_layer
        casts /= shape.layers
    return Need(
        weights=held,
        gradients=gradients,
        optimizer=optimizer,
        casts=casts,
        activations=activations,
        logits=shape.arithmetic.logits * tokens * shape.vocabulary,
        buffers=buffers,
    )


def _with_adapters(shape: Shape, layout: Layout, tokens: int) -> Need:
    """Return the same where adapters alone are trained.

    Embeddings that are the head too have a cast of their own, as adapters do.
    """
    arithmetic = shape.arithmetic
    trained = 4.0 * shape.adapters
    head = shape.vocabulary * shape.width if shape.params < TIED_BELOW else 0
    per_layer = tokens * shape.width
    saved = shape.saved + arithmetic.adapters
    activations = saved * per_layer * shape.layers
    if layout.checkpointing:
        activations = (RESIDUAL_BYTES * shape.layers + saved) * per_layer
    return Need(
        weights=shape.frozen,
        gradients=trained,
        optimizer=2 * trained,
        casts=arithmetic.cast * (shape.adapters + head),
        activations=activations,
        logits=arithmetic.logits * tokens * shape.vocabulary,
        buffers=trained if layout.ranks > 1 else 0.0,
    )


def scoring(shape: Shape, micro_batch: int, max_length: int, *, logits: bool) -> Need:
    """Return the bytes that one GPU holds while a model reads texts of ``max_length`` tokens.

    It holds the whole model, and of one layer at a time what a training would keep of it.

    Args:
        shape: the model.
        micro_batch: pairs in one forward.
        max_length: tokens of a text.
        logits: whether log-probabilities are read, and not rewards or features.
    """
    tokens = 2 * micro_batch * max_length
    arithmetic = shape.arithmetic
    return Need(
        weights=shape.frozen,
        gradients=0.0,
        optimizer=0.0,
        casts=arithmetic.cast * shape.params / shape.layers,
        activations=(RESIDUAL_BYTES + shape.saved) * tokens * shape.width,
        logits=arithmetic.scored * tokens * shape.vocabulary * logits,
        buffers=0.0,
    )


def host(shape: Shape, layout: Layout, nodes: int = 1) -> float:
    """Return the bytes of the hosts' memory that a training needs on all ranks together.

    One rank reads the whole model, and the last of its pieces beside it; the others get theirs on
    their GPUs. Slurm gives all nodes as much as the one of that rank needs. Offloading adds the
    master weights and Adam's moments, once.
    """
    process = 4 * GB
    whole = nodes * 5.0 * shape.params
    return layout.ranks * process + whole + 12.0 * shape.params * layout.offload


def fits(shape: Shape, layout: Layout, max_length: int, gpu_bytes: float) -> bool:
    """Return whether a training fits GPUs of ``gpu_bytes``.

    ZeRO distributes weights only once they are on the GPU, so the whole of them must fit it too.
    """
    whole = 0.0 if shape.adapters else 4.0 * shape.params
    return max(training(shape, layout, max_length).total, whole) <= USABLE * gpu_bytes


def holds(
    shape: Shape, micro_batch: int, max_length: int, gpu_bytes: float, *, logits: bool
) -> bool:
    """Return whether a GPU of ``gpu_bytes`` can read texts with the model."""
    need = scoring(shape, micro_batch, max_length, logits=logits)
    return need.total <= USABLE * gpu_bytes
