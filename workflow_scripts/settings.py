"""What ``config.yaml`` may say."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from workflow_scripts.config_errors import AboutKey, BelowSection, UndefinedName, describe, nearest
from workflow_scripts.conflicts import AnyConflict, spelt_out
from workflow_scripts.errors import UserError
from workflow_scripts.formats import FORMATS
from workflow_scripts.names import NAME, Name
from workflow_scripts.students import DIRECT, Student, with_intermediates

SCENARIOS = ("reward_model", "simpo", "dpo")
SETS = ("gt", "weak", "test", "helpful")


def _checked_hub_id(name: str) -> str:
    if not re.fullmatch(rf"({NAME}/)?{NAME}", name):
        raise ValueError(f"{name!r} is not a hub id; write owner/name")
    return name


def _checked_format(name: str) -> str:
    if name not in FORMATS:
        raise ValueError(f"{name!r} is not valid{nearest(name, FORMATS)}")
    return name


HubId = Annotated[str, AfterValidator(_checked_hub_id)]
Revision = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Share = Annotated[float, Field(gt=0, lt=1)]
Scenario = Literal["reward_model", "simpo", "dpo"]
Quirk = Literal["fixed", "reference"]
Format = Annotated[str, AfterValidator(_checked_format)]


class Settings(BaseModel):
    """The base of every section: no unknown keys, no change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Settings):
    """Where preference rows come from: the hub, a local file or folder, or a small world."""

    hub: HubId | None = None
    revision: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None = None
    data_dir: str | None = None
    config: Name | None = None
    path: str | None = None
    world: Name | None = None
    split: str = Field("train", pattern=r"^[A-Za-z0-9_.\[\]:%-]+$")
    format: Format
    columns: dict[str, str] = {}

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        _exactly_one(self, "hub", "path", "world")
        if self.hub and not self.revision:
            raise ValueError("a hub data set needs `revision`: a commit, or a branch")
        return self

    @model_validator(mode="after")
    def _columns_are_of_the_format(self) -> Self:
        fields = (*FORMATS[self.format].required, *FORMATS[self.format].optional)
        for field in self.columns:
            if field not in fields:
                raise BelowSection(
                    f"columns.{field}",
                    f"format {self.format} has no field {field!r}{nearest(field, fields)}",
                )
        return self


class PairSet(Settings):
    """One of the four sets of a target: at most ``size`` pairs of ``source``."""

    size: PositiveInt
    source: Source


class PairSets(Settings):
    """The four sets, disjoint by prompt (DESIGN section 1)."""

    gt: PairSet
    weak: PairSet
    test: PairSet
    helpful: PairSet


class Target(Settings):
    """A target goal and its competing goal."""

    seed: int = 0
    max_bad: Annotated[float, Field(ge=0, le=1)] = 0.05
    sets: PairSets


class World(Settings):
    """A generated world (``workflow_scripts/world.py``)."""

    seed: int
    substances: Annotated[int, Field(ge=40, le=20_000)]
    mentions: PositiveInt
    zipf_exponent: Annotated[float, Field(ge=0, le=3)]
    phrasings: PositiveInt


class TokenizerSettings(Settings):
    """How a corpus is cut into tokens."""

    kind: Literal["word", "bpe"]
    vocab_size: Annotated[int, Field(ge=300, le=200_000)]


class Corpus(Settings):
    """Texts to pretrain on: a world's encyclopedia, or the texts of a target's training sets."""

    world: Name | None = None
    target: Name | None = None
    sets: list[Literal["gt", "weak", "helpful"]] = ["gt", "weak", "helpful"]
    tokenizer: TokenizerSettings

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        _exactly_one(self, "world", "target")
        return self


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
        _exactly_one(self, "id", "path", "package", "pretrain")
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

`width` and `layers` serve the memory model (``memory.py``) alone.
"""


class Gpu(Settings):
    """A GPU model: its memory (10^9 bytes), dense bfloat16 peak (10^12/s), and GPUs in a node."""

    memory_gb: PositiveFloat
    bf16_tflops: PositiveFloat
    per_node: PositiveInt


class Optimisation(Settings):
    """How long and how fast a stage trains."""

    epochs: PositiveInt
    learning_rate: PositiveFloat
    schedule: Literal["cosine", "constant"]
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0


class RewardModel(Optimisation):
    """A reward head on a language model; with ``linear_probe`` the head alone is trained."""

    linear_probe: bool = False

    @model_serializer(mode="wrap")
    def _without_what_is_off(self, as_usual: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Nobody's settings, and so nobody's finished runs, know of a probe that is not asked for.
        settings = as_usual(self)
        if not self.linear_probe:
            del settings["linear_probe"]
        return settings


class Simpo(Optimisation):
    """SimPO: ``-log sigmoid(beta z - gamma)`` on length-normalised log-probabilities."""

    beta: PositiveFloat
    gamma: Annotated[float, Field(ge=0)]


class Dpo(Optimisation):
    """DPO: ``-log sigmoid(beta z)`` on log-probabilities relative to the SFT model."""

    beta: PositiveFloat


class Scenarios(Settings):
    """The three ways in which a preference is learned and read out."""

    reward_model: RewardModel
    simpo: Simpo
    dpo: Dpo


class Adam(Settings):
    """Adam without weight decay."""

    beta1: Share = 0.9
    beta2: Share = 0.999
    epsilon: PositiveFloat = 1e-8


class Training(Settings):
    """What every fine-tuning shares."""

    batch_size: PositiveInt = 32
    max_length: Annotated[int, Field(ge=8)] = 512
    data_order: Literal["shuffled", "file"] = "shuffled"
    adam: Adam = Adam()


class Compat(Settings):
    """Quirks of the reference that change results, each mended or kept (docs/method.md).

    Attributes:
        reward_pooling: where the reward is read: at the last token, or at the count of tokens that
            are not 0.
        dpo_weak_labels: DPO's margin when it labels and predicts: relative to the reference model,
            or the policy's alone.
        explicit_trigger: DPO's margin in the explicit conflict's trigger, likewise.
        filter_peek: whether the high-confidence filter drops wrong labels too (`reference` does).
        bos_in_response: whether BOS stands before the response as before the prompt (likewise).
        implicit_steps: whether `implicit_matched` doubles the steps as `implicit` does (likewise).
    """

    reward_pooling: Quirk = "fixed"
    dpo_weak_labels: Quirk = "fixed"
    explicit_trigger: Quirk = "fixed"
    filter_peek: Quirk = "fixed"
    bos_in_response: Quirk = "fixed"
    implicit_steps: Quirk = "fixed"


class Probe(Settings):
    """How predictions become figures (DESIGN section 2)."""

    threshold: Annotated[float, Field(ge=0.5, lt=1)] = 0.75
    sweep: list[Annotated[float, Field(ge=0.5, lt=1)]]
    resamples: Annotated[int, Field(ge=100)] = 2000
    interval: Share = 0.95


class Matrix(Settings):
    """Which cells are run: the product of these lists."""

    targets: list[Name] = Field(min_length=1)
    scenarios: list[Scenario] = Field(min_length=1)
    conflicts: list[Name] = Field(min_length=1)
    models: list[Name] | None = None
    pairs: list[tuple[Name, Name]] | None = None
    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    students: list[Student] = [Student(name=DIRECT)]

    @model_validator(mode="after")
    def _pairs_or_models(self) -> Self:
        _exactly_one(self, "models", "pairs")
        for key in ("targets", "scenarios", "conflicts", "models", "pairs", "seeds"):
            values = getattr(self, key) or []
            for value in values:
                if values.count(value) > 1:
                    raise ValueError(f"`{key}` names {value} twice")
        return self

    @model_validator(mode="after")
    def _students_have_cells(self) -> Self:
        names = [student.name for student in self.students]
        if DIRECT not in names:
            raise BelowSection("students", f"variants are compared with `{DIRECT}`; add it")
        for place, student in enumerate(self.students):
            key = f"students.{place}"
            if names.index(student.name) < place:
                raise BelowSection(f"{key}.name", f"{student.name!r} is already a student's name")
            if not any(
                student.fits(weak, strong, self.models or ()) for weak, strong in self.weak_strong
            ):
                raise BelowSection(f"{key}.through", "stands between the models of no cell")
        with_intermediates(self.students)
        return self

    @property
    def weak_strong(self) -> list[tuple[str, str]]:
        """The (weak, strong) pairs: as listed, or every ordered pair of ``models``."""
        if self.pairs is not None:
            return self.pairs
        models = self.models or []
        return [(weak, strong) for i, weak in enumerate(models) for strong in models[i + 1 :]]


class Execution(Settings):
    """Knobs of speed. None of them changes a result, so none of them reruns anything."""

    micro_batch: PositiveInt = 32
    threads: PositiveInt = 1
    tensorboard: bool = False
    warm_start: bool = False
    save_minutes: PositiveFloat = 30


class Config(Settings):
    """The whole of ``config.yaml``."""

    data_root: str = "."
    matrix: Matrix
    targets: dict[Name, Target]
    models: dict[Name, Model]
    hardware: dict[Name, Gpu] = Field(min_length=1)
    worlds: dict[Name, World] = {}
    corpora: dict[Name, Corpus] = {}
    scenarios: Scenarios
    sft: Optimisation
    conflicts: Annotated[dict[Name, AnyConflict], BeforeValidator(spelt_out)]
    training: Training
    compat: Compat = Compat()
    probe: Probe
    keep_checkpoints: bool = True
    strict_environment: bool = False
    execution: Execution = Execution()

    @model_validator(mode="after")
    def _names_are_defined(self) -> Self:
        for where, name, known in self._references():
            if name not in known:
                raise UndefinedName(where, name, known)
        if self.conflicts.get("none") is None or "none" not in self.matrix.conflicts:
            raise AboutKey(
                "matrix.conflicts",
                "the conflict tax is counted against `none`; add it to the list",
            )
        for name, model in self.models.items():
            if model.gpus and self.training.batch_size % model.gpus:
                raise AboutKey(
                    f"models.{name}.gpus",
                    f"{model.gpus} GPUs cannot share training.batch_size "
                    f"{self.training.batch_size} evenly",
                )
        if self.training.batch_size % self.execution.micro_batch:
            raise AboutKey(
                "execution.micro_batch",
                f"{self.execution.micro_batch} does not divide training.batch_size "
                f"{self.training.batch_size}",
            )
        return self

    def _references(self) -> Iterable[tuple[str, str, Iterable[str]]]:
        for i, target in enumerate(self.matrix.targets):
            yield f"matrix.targets.{i}", target, self.targets
        for i, conflict in enumerate(self.matrix.conflicts):
            yield f"matrix.conflicts.{i}", conflict, self.conflicts
        for i, model in enumerate(self.matrix.models or []):
            yield f"matrix.models.{i}", model, self.models
        for i, pair in enumerate(self.matrix.pairs or []):
            for j, model in enumerate(pair):
                yield f"matrix.pairs.{i}.{j}", model, self.models
        for i, student in enumerate(self.matrix.students):
            for j, model in enumerate(student.through):
                yield f"matrix.students.{i}.through.{j}", model, self.models
        for name, target in self.targets.items():
            for key in SETS:
                if world := getattr(target.sets, key).source.world:
                    yield f"targets.{name}.sets.{key}.source.world", world, self.worlds
        for name, corpus in self.corpora.items():
            if corpus.world:
                yield f"corpora.{name}.world", corpus.world, self.worlds
            if corpus.target:
                yield f"corpora.{name}.target", corpus.target, self.targets
        for name, model in self.models.items():
            if model.pretrain:
                yield f"models.{name}.pretrain.corpus", model.pretrain.corpus, self.corpora
            if model.gpu_model:
                yield f"models.{name}.gpu_model", model.gpu_model, self.hardware


def _exactly_one(section: BaseModel, *keys: str) -> None:
    given = [key for key in keys if getattr(section, key) is not None]
    if len(given) != 1:
        raise ValueError(
            f"give exactly one of {', '.join(f'`{key}`' for key in keys)}; "
            f"found {' and '.join(f'`{key}`' for key in given) or 'none'}"
        )


def load(config: Mapping[str, Any], files: Sequence[Path | str] = ("config.yaml",)) -> Config:
    """Validate a resolved configuration.

    Args:
        config: what Snakemake merged from the files and ``--config``.
        files: the configuration files, later ones winning; named in errors.

    Raises:
        UserError: one line for the first fault: file, key, what is wrong, the nearest spelling.
    """
    config = dict(config)
    if root := os.environ.get("W2S_DATA_ROOT"):
        config["data_root"] = root
    try:
        return Config.model_validate(config)
    except ValidationError as failure:
        fault = failure.errors()[0]
        raise UserError(describe(fault, Config, files)) from None
