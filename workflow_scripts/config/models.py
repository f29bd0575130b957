"""What ``config.yaml`` may say of models, and of the GPUs that train them."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PositiveFloat, model_validator

from workflow_scripts.config.messages import BelowSection
from workflow_scripts.core.names import Name
from workflow_scripts.core.section import Count, HubId, LocalPath, Settings, exactly_one

CHANGES_NO_RESULT = "checks the configuration, whose values are in the rules' slices"

Revision = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class Architecture(Settings):
    """The shape of a model that is pretrained here."""

    family: Literal["gpt2", "llama"] = "gpt2"
    """Architecture of the model."""
    width: Count
    """Size of the hidden state."""
    layers: Count
    """Number of layers."""
    heads: Count
    """Attention heads; they divide `width`."""
    context: Count
    """Longest text, in tokens."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self


class Pretraining(Settings):
    """A base model made here: architecture numbers, a corpus and a budget.

    ``tokens`` is how much of the corpus, from its beginning, the model ever sees.
    """

    corpus: Name
    """Corpus to train on, a key of `corpora`."""
    tokens: Count | None = None
    """How many of the corpus's tokens, from its beginning, the model sees; all if left out."""
    architecture: Architecture
    """Shape of the model."""
    steps: Count
    """Optimizer steps."""
    batch_size: Count
    """Sequences in a batch."""
    sequence_length: Count
    """Tokens in a sequence."""
    learning_rate: PositiveFloat
    """Peak learning rate."""


class Package(Settings):
    """A Python package whose wheel holds a model as a GGUF file."""

    name: Name
    """Name of the package."""
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._!+-]*$")]
    """Its version."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of its wheel."""


Targets = Annotated[list[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$")]], Field(min_length=1)]


def _no_targets(given: object) -> object:
    """Return None for what PEFT calls all matrices of all layers."""
    return None if given == "all-linear" else given


class Lora(Settings):
    """LoRA: train a small addition to the model, and leave its own weights as they are."""

    r: Annotated[int, Field(gt=0, le=4096)] = 16
    """Rank of the addition to each matrix."""
    alpha: Count = 32
    """The addition is scaled by `alpha` over `r`."""
    targets: Annotated[Targets | None, BeforeValidator(_no_targets)] = None
    """Ends of the names of the modules that get one; all matrices of all layers if left out."""


class Model(Settings):
    """A base model: from the hub or a package, pinned, from a local folder, or pretrained here.

    ``depth`` keeps its first so many layers alone.
    """

    id: HubId | None = None
    """Model on the hub, `owner/name`; give one of `id`, `path`, `package` and `pretrain`."""
    revision: Revision | None = None
    """Commit on the hub, 40 hexadecimal digits."""
    path: LocalPath | None = None
    """Folder of the model, below `data_root`."""
    package: Package | None = None
    """Python package that holds the model as a GGUF file."""
    depth: Count | None = None
    """Keep the first so many layers alone."""
    pretrain: Pretraining | None = None
    """Make the model here."""
    chat: Literal[True] | None = None
    """Give the model its texts in its own chat template, not as HH-RLHF writes them."""
    lora: Lora | None = None
    """Train LoRA adapters instead of all weights, so that a small GPU is enough."""
    learning_rates: dict[Name, PositiveFloat] | None = None
    """Learning rates of its own, by the name of a scenario or `sft`, in place of theirs."""
    family: Name | None = None
    """Architecture, for the memory estimate."""
    params: Count | None = None
    """Number of weights, for the memory estimate."""
    pickled_weights: bool = False
    """The repository has no safetensors: read the tensors out of its pickle."""
    # Knobs of execution (``EXECUTION_KNOBS``): where and how it is trained.
    width: Count | None = None
    """Size of the hidden state, for the memory estimate."""
    layers: Count | None = None
    """Number of layers, for the memory estimate."""
    gpu_model: Name | None = None
    """GPU model to train on, a key of `hardware`."""
    gpus: Annotated[int, Field(ge=0)] | None = None
    """GPUs over all nodes, one rank each; 0 trains on the CPU."""
    nodes: Count = 1
    """Nodes to train on."""
    zero: Literal[0, 2, 3] | None = None
    """DeepSpeed's ZeRO stage."""
    offload: bool | None = None
    """Keep the optimizer's state in the host's memory."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        exactly_one(self, "id", "path", "package", "pretrain")
        if self.id and not self.revision:
            raise ValueError("a hub model needs `revision`, its commit's 40 hexadecimal digits")
        if self.chat and self.pretrain:
            raise BelowSection("chat", "a model that is pretrained here has no chat template")
        return self

    @model_validator(mode="after")
    def _gpus_can_be_shared_out(self) -> Self:
        if self.gpus is not None and self.gpus % self.nodes:
            raise BelowSection("gpus", f"{self.gpus} GPUs do not spread over {self.nodes} nodes")
        if self.gpus is not None and self.nodes > 1 and self.gpus < 2 * self.nodes:
            raise BelowSection("gpus", f"give each of {self.nodes} nodes at least 2 GPUs")
        if self.offload and self.zero == 0:
            raise BelowSection("offload", "needs ZeRO; set `zero` to 2 or 3")
        if self.lora and (self.zero or self.offload):
            key = "zero" if self.zero else "offload"
            raise BelowSection(key, "LoRA leaves nothing to share out; leave it out")
        return self


EXECUTION_KNOBS = frozenset({"width", "layers", "gpu_model", "gpus", "nodes", "zero", "offload"})
"""The keys of a `models` entry that change no result, so that none of them reruns anything.

`width` and `layers` serve the memory model (``cluster/memory.py``) alone.
"""


class Gpu(Settings):
    """A GPU model: its memory (10^9 bytes), its dense peaks (10^12/s), and GPUs in a node."""

    memory_gb: Annotated[float, Field(ge=1, le=10_000)]
    """Memory in 10^9 bytes."""
    bf16_tflops: Annotated[float, Field(ge=0.001, le=1e6)]
    """Dense bfloat16 peak, in 10^12 operations a second."""
    fp32_tflops: Annotated[float, Field(ge=0.001, le=1e6)] | None = None
    """Float32 peak without tensor cores (no TF32), in 10^12 operations a second, for
    `compat.precision: reference`; a sixteenth of `bf16_tflops` if left out."""
    per_node: Count
    """GPUs in a node."""
    slurm_type: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]*$")] | None = None
    """What Slurm calls it, if not its key: `a40` of `gpu:a40:4`; "" where GPUs have no type."""
