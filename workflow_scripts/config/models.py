"""What ``config.yaml`` may say of models, and of the GPUs that train them."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from workflow_scripts.config.messages import BelowSection
from workflow_scripts.core.names import Name
from workflow_scripts.core.section import HubId, Settings, exactly_one

CHANGES_NO_RESULT = "checks the configuration, whose values are in the rules' slices"

Revision = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class Architecture(Settings):
    """The shape of a model that is pretrained here."""

    family: Literal["gpt2", "llama"] = "gpt2"
    width: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    context: PositiveInt

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
    tokens: PositiveInt | None = None
    architecture: Architecture
    steps: PositiveInt
    batch_size: PositiveInt
    sequence_length: PositiveInt
    learning_rate: PositiveFloat


class Package(Settings):
    """A Python package whose wheel holds a model as a GGUF file."""

    name: Name
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._!+-]*$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Model(Settings):
    """A base model: from the hub or a package, pinned, from a local folder, or pretrained here.

    ``depth`` keeps its first so many layers alone.
    """

    id: HubId | None = None
    revision: Revision | None = None
    path: str | None = None
    package: Package | None = None
    depth: PositiveInt | None = None
    pretrain: Pretraining | None = None
    family: Name | None = None
    params: PositiveInt | None = None
    pickled_weights: bool = False
    # Knobs of execution (``EXECUTION_KNOBS``): where and how it is trained.
    width: PositiveInt | None = None
    layers: PositiveInt | None = None
    gpu_model: Name | None = None
    gpus: Annotated[int, Field(ge=0)] | None = None
    nodes: PositiveInt = 1
    zero: Literal[0, 2, 3] | None = None
    offload: bool | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        exactly_one(self, "id", "path", "package", "pretrain")
        if self.id and not self.revision:
            raise ValueError("a hub model needs `revision`, its commit's 40 hexadecimal digits")
        return self

    @model_validator(mode="after")
    def _gpus_can_be_shared_out(self) -> Self:
        if self.gpus is not None and self.gpus % self.nodes:
            raise BelowSection("gpus", f"{self.gpus} GPUs do not spread over {self.nodes} nodes")
        if self.gpus is not None and self.nodes > 1 and self.gpus < 2 * self.nodes:
            raise BelowSection("gpus", f"give each of {self.nodes} nodes at least 2 GPUs")
        if self.offload and self.zero == 0:
            raise BelowSection("offload", "needs ZeRO; set `zero` to 2 or 3")
        return self


EXECUTION_KNOBS = frozenset({"width", "layers", "gpu_model", "gpus", "nodes", "zero", "offload"})
"""The keys of a `models` entry that change no result, so that none of them reruns anything.

`width` and `layers` serve the memory model (``cluster/memory.py``) alone.
"""


class Gpu(Settings):
    """A GPU model: its memory (10^9 bytes), dense bfloat16 peak (10^12/s), and GPUs in a node."""

    memory_gb: PositiveFloat
    bf16_tflops: PositiveFloat
    per_node: PositiveInt
