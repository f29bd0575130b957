"""How much memory a training needs: a small model of what a GPU holds at its peak.

Weights, gradients and Adam's two moments are float32 (the weights are the master weights); matrix
products run in bfloat16 through autocast. `Need` lists the parts that are counted; docs/memory.md
has the table for the paper's models. Nothing here imports torch.
"""

from dataclasses import dataclass, fields, replace
from typing import Literal, NamedTuple

from workflow_scripts.config.zero import BUCKET, LIVE

CHANGES_NO_RESULT = "how much memory a training needs, whatever its result"

Zero = Literal[0, 2, 3]

GB = 1e9
USABLE = 0.9
"""The share of a GPU's memory that tensors can fill; the rest is CUDA's, or lost between blocks."""
LOGIT_BYTES = 14
"""By vocabulary entry and token: logits in bfloat16 and in float32, their softmax, its gradient."""
ADAPTED_SIDES = 24
"""Inputs and outputs of all matrices of a layer, in widths; about 16 in GPT-2 and 21 in Llama."""
LARGEST_SIDES = 5
"""Inputs and outputs of a layer's largest matrix."""
ADAPTER_SAVED = 13.0
"""By layer, token and width: bytes that adapters of all matrices keep, in OPT, which keeps most."""
TIED_BELOW = 5e9
"""Models of fewer weights usually have their embeddings as their head."""
RESIDUAL_BYTES = 4
"""By width and token: what gradient checkpointing keeps of a layer, its input."""


class Family(NamedTuple):
    """What sets one family of models apart.

    Attributes:
        vocabulary: tokens.
        aspect: width over layers, about.
        saved: bytes that a layer keeps for the backward pass, by token and width; measured with
            ``torch.autograd.graph.saved_tensors_hooks`` under bfloat16 autocast, without the
            weights' own casts (tests/cluster/test_memory.py measures them again).
    """

    vocabulary: int
    aspect: float
    saved: float


FAMILIES = {
    "gpt2": Family(50_257, 36, 37),
    "opt": Family(50_272, 80, 33),
    "gpt_neox": Family(50_304, 80, 39),
    "mistral": Family(32_000, 100, 60),
    "llama": Family(128_256, 80, 67),
    "qwen2": Family(151_936, 80, 67),
}
UNKNOWN = Family(151_936, 80, 70)
"""For a family that is not listed: at least what each listed family needs."""


@dataclass(frozen=True)
class Shape:
    """The numbers of a model on which its memory depends."""

    params: int
    width: int
    layers: int
    vocabulary: int
    saved: float
    adapters: int = 0
    """Weights of LoRA's adapters, which alone are trained then; 0 where all are."""

    @classmethod
    def of(
        cls,
        params: int,
        family: str | None,
        width: int | None = None,
        layers: int | None = None,
        vocabulary: int | None = None,
    ) -> "Shape":
        """Return a shape, with estimates for what is not given.

        A transformer's layer holds about 12 width² weights, so width and layers follow from the
        number of weights and the family's usual ratio of the two.
        """
        known = FAMILIES.get(family or "", UNKNOWN)
        if layers is None:
            by_ratio = (params / (12 * known.aspect**2)) ** (1 / 3)
            layers = max(1, round(by_ratio if width is None else params / (12 * width**2)))
        if width is None:
            width = max(1, round((params / (12 * layers)) ** 0.5))
        return cls(params, width, layers, vocabulary or known.vocabulary, known.saved)

    def with_adapters(self, r: int, modules: int | None) -> "Shape":
        """Return the shape of the same model trained with LoRA.

        Args:
            r: rank of the adapters.
            modules: how many matrices of a layer have one; None for all.
        """
        # In widths: an adapter has r weights for each of its matrix's inputs and outputs.
        sides = ADAPTED_SIDES if modules is None else LARGEST_SIDES * modules
        return replace(self, adapters=r * sides * self.width * self.layers)


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
    casts = weights / 2
    if layout.checkpointing:
        activations = (RESIDUAL_BYTES * shape.layers + shape.saved) * per_layer
        casts = layer / 2
    return Need(
        weights=held,
        gradients=gradients,
        optimizer=optimizer,
        casts=casts,
        activations=activations,
        logits=LOGIT_BYTES * tokens * shape.vocabulary,
        buffers=buffers,
    )


def _with_adapters(shape: Shape, layout: Layout, tokens: int) -> Need:
    """Return the same where adapters alone are trained.

    Matrices are kept in bfloat16 (``models/adapters.py``), embeddings in float32; where they are
    the head too, that has a cast of its own.
    """
    embeddings = shape.vocabulary * shape.width
    frozen = 2.0 * max(0, shape.params - embeddings) + 4.0 * embeddings
    trained = 4.0 * shape.adapters
    per_layer = tokens * shape.width
    saved = shape.saved + ADAPTER_SAVED
    activations = saved * per_layer * shape.layers
    if layout.checkpointing:
        activations = (RESIDUAL_BYTES * shape.layers + saved) * per_layer
    return Need(
        weights=frozen + trained,
        gradients=trained,
        optimizer=2 * trained,
        casts=trained / 2 + (2.0 * embeddings if shape.params < TIED_BELOW else 0.0),
        activations=activations,
        logits=LOGIT_BYTES * tokens * shape.vocabulary,
        buffers=trained if layout.ranks > 1 else 0.0,
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
    usable = USABLE * gpu_bytes
    whole = 0.0 if shape.adapters else 4.0 * shape.params
    return max(training(shape, layout, max_length).total, whole) <= usable
