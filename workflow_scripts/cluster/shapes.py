"""The numbers of a model on which the memory of its trainings depends.

Those of a family were measured, and those of a model that are not given are estimated from its
number of weights. Nothing here imports torch.
"""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

CHANGES_NO_RESULT = "how much memory a training needs, whatever its result"

Precision = Literal["bfloat16", "float32"]
"""What matrix products are computed in."""

ADAPTED_SIDES = 24
"""Inputs and outputs of all matrices of a layer, in widths; about 16 in GPT-2 and 21 in Llama."""
LARGEST_SIDES = 5
"""Inputs and outputs of a layer's largest matrix."""


class Arithmetic(NamedTuple):
    """The bytes that depend on what matrix products are computed in.

    Attributes:
        cast: of each weight's copy that products take, 0 where they take the weight itself.
        frozen: of each weight of a matrix that is not trained (``models/adapters.py:shrink``).
        logits: by vocabulary entry and token at the peak of a training: the logits, in float32 too
            if they are not, their log-softmax, and gradients.
        scored: the same without gradients.
        adapters: by layer, token and width, what adapters of all matrices keep for the backward
            pass, in OPT, which keeps most.
    """

    cast: float
    frozen: float
    logits: float
    scored: float
    adapters: float


ARITHMETIC: dict[Precision, Arithmetic] = {
    "bfloat16": Arithmetic(cast=2, frozen=2, logits=14, scored=10, adapters=13),
    "float32": Arithmetic(cast=0, frozen=4, logits=12, scored=8, adapters=6),
}


class Family(NamedTuple):
    """What sets one family of models apart.

    Attributes:
        vocabulary: tokens.
        aspect: width over layers, about.
        bfloat16: bytes that a layer keeps for the backward pass, by token and width; measured with
            ``torch.autograd.graph.saved_tensors_hooks`` under bfloat16 autocast, without the
            weights' own casts (tests/cluster/test_memory.py measures them again).
        float32: the same without autocast.
    """

    vocabulary: int
    aspect: float
    bfloat16: float
    float32: float

    def saved(self, precision: Precision) -> float:
        """Return the bytes that a layer keeps where products are computed in ``precision``."""
        return self.bfloat16 if precision == "bfloat16" else self.float32


FAMILIES = {
    "gpt2": Family(50_257, 36, 37, 65),
    "opt": Family(50_272, 80, 33, 49),
    "gpt_neox": Family(50_304, 80, 39, 73),
    "mistral": Family(32_000, 100, 60, 91),
    "llama": Family(128_256, 80, 67, 105),
    "qwen2": Family(151_936, 80, 67, 105),
}
UNKNOWN = Family(151_936, 80, 70, 110)
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
    precision: Precision = "bfloat16"
    """What its products are computed in."""

    @classmethod
    def of(
        cls,
        params: int,
        family: str | None,
        width: int | None = None,
        layers: int | None = None,
        vocabulary: int | None = None,
        precision: Precision = "bfloat16",
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
        saved = known.saved(precision)
        vocabulary = vocabulary or known.vocabulary
        return cls(params, width, layers, vocabulary, saved, precision=precision)

    @property
    def arithmetic(self) -> Arithmetic:
        """The bytes that depend on what its products are computed in."""
        return ARITHMETIC[self.precision]

    @property
    def frozen(self) -> float:
        """The bytes of a model that is read out, or to which adapters are trained.

        Where those are, matrices may be kept in bfloat16; embeddings stay float32.
        """
        if not self.adapters:
            return 4.0 * self.params
        embeddings = self.vocabulary * self.width
        matrices = self.arithmetic.frozen * max(0, self.params - embeddings)
        return matrices + 4.0 * (embeddings + self.adapters)

    def with_adapters(self, r: int, modules: int | None) -> "Shape":
        """Return the shape of the same model trained with LoRA.

        Args:
            r: rank of the adapters.
            modules: how many matrices of a layer have one; None for all.
        """
        # In widths: an adapter has r weights for each of its matrix's inputs and outputs.
        sides = ADAPTED_SIDES if modules is None else LARGEST_SIDES * modules
        return replace(self, adapters=r * sides * self.width * self.layers)
