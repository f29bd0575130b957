"""What ``config.yaml`` may say."""

import os
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PositiveFloat,
    ValidationError,
    model_validator,
)

from workflow_scripts.config import paths
from workflow_scripts.config.conflict_lists import spelled_out
from workflow_scripts.config.data import SETS, Corpus, Target, World
from workflow_scripts.config.layers import Layer, merged
from workflow_scripts.config.matrix_section import Matrix
from workflow_scripts.config.messages import AboutKey, UndefinedName, describe
from workflow_scripts.config.models import Gpu, Model
from workflow_scripts.config.training import Training
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.kernels import Kernel
from workflow_scripts.core.names import Name
from workflow_scripts.core.section import Count, Folder, LocalPath, Settings, Share
from workflow_scripts.methods.compat import Compat
from workflow_scripts.methods.conflicts.placebo import PLACEBO
from workflow_scripts.methods.conflicts.registry import AnyConflict
from workflow_scripts.methods.method import Sft
from workflow_scripts.methods.scenarios.registry import AnyScenario, with_kinds

CHANGES_NO_RESULT = "checks the configuration, whose values are in the rules' slices"


class Probe(Settings):
    """How predictions become figures (docs/method.md)."""

    threshold: Annotated[float, Field(ge=0.5, lt=1)] = 0.75
    """A model knows a pair when its confidence in the true choice reaches this."""
    sweep: list[Annotated[float, Field(ge=0.5, lt=1)]]
    """Further thresholds at which the figures are computed."""
    resamples: Annotated[int, Field(ge=100)] = 2000
    """Bootstrap resamples."""
    interval: Share = 0.95
    """Level of the intervals."""


class Evaluation(Settings):
    """Pairs that trainings are watched on: the first ones of the target's test set."""

    every: Count = 50
    """Steps between two evaluations."""
    pairs: Count = 200
    """How many pairs."""


class Execution(Settings):
    """Knobs of speed. They change last digits of a result at most, and rerun nothing."""

    micro_batch: Count = 32
    """Pairs in one forward pass; divides `training.batch_size`."""
    threads: Count = 1
    """CPU threads of a rank."""
    attention: Kernel = "dense"
    """`flex` skips what pairs of a row do not see of each other, on a GPU; untested there."""
    tensorboard: bool = False
    """Write TensorBoard logs of trainings."""
    report_to: list[Literal["wandb", "trackio", "mlflow"]] = Field(default_factory=list)
    """Services that get the logs of trainings as well; they are installed by hand."""
    evaluation: Evaluation | None = None
    """Log loss and accuracy on held-out pairs while training; no result depends on them."""
    warm_start: bool = False
    """Start stages from a process that has already imported torch (one machine only)."""
    save_minutes: PositiveFloat = 30
    """Minutes between saved states of a training."""
    states: LocalPath | None = None
    """Folder on a large file system that all nodes share, for trainings' states."""
    start_minutes: PositiveFloat = 20
    """Minutes that a job on a cluster may take to begin its work; no time limit is shorter."""


def _kept(value: object) -> object:
    """Return what yes and no stand for: all models, and all but students'."""
    of_word = {"true": "all", "yes": "all", "false": "ceilings", "no": "ceilings"}
    return of_word.get(str(value).lower(), value)


def _with_yes_and_no(schema: dict[str, Any]) -> None:
    del schema["type"]
    schema["enum"] = [*schema["enum"], True, False]


Kept = Annotated[
    Literal["all", "ceilings", "none"],
    BeforeValidator(_kept),
    Field(json_schema_extra=_with_yes_and_no),
]


KEPT = {
    paths.SFT: {"all", "ceilings"},
    paths.GROUND_TRUTH: {"all", "ceilings"},
    paths.STUDENT_SFT: {"all"},
    paths.WEAK_TO_STRONG: {"all"},
}
"""By training, the values of `keep_checkpoints` that keep its model."""


class Config(Settings):
    """The whole of ``config.yaml``."""

    data_root: Folder = "."
    """Folder below which local data and models are found."""
    matrix: Matrix
    """Which cells are run."""
    targets: dict[Name, Target]
    """Target goals, each with its competing goal."""
    models: dict[Name, Model]
    """Base models."""
    hardware: dict[Name, Gpu] = Field(min_length=1)
    """GPU models that the cluster has."""
    worlds: dict[Name, World] = Field(default_factory=dict)
    """Generated worlds."""
    corpora: dict[Name, Corpus] = Field(default_factory=dict)
    """Texts to pretrain on."""
    scenarios: Annotated[dict[Name, AnyScenario], BeforeValidator(with_kinds)]
    """How a preference is learned and read out; a scenario's kind is its name if it gives none."""
    sft: Sft
    """Supervised fine-tuning on the preferred responses, before SimPO and DPO."""
    conflicts: Annotated[dict[Name, AnyConflict], BeforeValidator(spelled_out)]
    """How the competing goal enters a student's training."""
    training: Training
    """What every fine-tuning shares."""
    compat: Compat = Compat()
    """Where the authors' code departs from the method: fixed, or as they have it."""
    probe: Probe
    """How predictions become figures."""
    keep_checkpoints: Kept = "all"
    """Which models stay once all that is read off them exists: `all`, `ceilings` or `none`."""
    checkpoint_dtype: Literal["float32", "bfloat16"] = "float32"
    """What trained models are stored in, and then read from: `bfloat16` takes half the disk, and
    changes results."""
    strict_environment: bool = False
    """Run stages again when the versions of libraries that they use change."""
    execution: Execution = Execution()
    """Knobs of speed."""

    @model_validator(mode="after")
    def _names_are_defined(self) -> Self:
        for where, name, known in self._references():
            if name not in known:
                raise UndefinedName(where, name, known)
        none = self.conflicts.get("none")
        for where, part in self.matrix.parts():
            if part.conflicts is not None and "none" not in part.conflicts:
                raise AboutKey(
                    f"matrix.{where}conflicts",
                    "the conflict tax is counted against `none`; add it to the list",
                )
            if PLACEBO in (part.conflicts or ()):
                raise AboutKey(
                    f"matrix.{where}conflicts",
                    f"`{PLACEBO}` is trained for the probes of the first seed, and is no cell; "
                    "take it off the list",
                )
        if none is not None and none.kind != "none":
            raise AboutKey(
                "conflicts.none.kind",
                f"{none.kind!r} is not what `none` means; give that conflict another name",
            )
        for name, conflict in self.conflicts.items():
            if (conflict.kind == PLACEBO) != (name == PLACEBO):
                raise AboutKey(
                    f"conflicts.{name}.kind",
                    f"the conflict `{PLACEBO}`, and no other, is of kind {PLACEBO}",
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
        for i, model in enumerate(self.matrix.models or []):
            yield f"matrix.models.{i}", model, self.models
        for where, part in self.matrix.parts():
            for i, scenario in enumerate(part.scenarios or []):
                yield f"matrix.{where}scenarios.{i}", scenario, self.scenarios
            for i, conflict in enumerate(part.conflicts or []):
                yield f"matrix.{where}conflicts.{i}", conflict, self.conflicts
            for i, pair in enumerate(part.pairs or []):
                for j, model in enumerate(pair):
                    yield f"matrix.{where}pairs.{i}.{j}", model, self.models
            for i, student in enumerate(part.students or []):
                key = "through" if student.through else "models"
                for j, model in enumerate(student.others):
                    yield f"matrix.{where}students.{i}.{key}.{j}", model, self.models
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
            for key in model.learning_rates or ():
                yield f"models.{name}.learning_rates.{key}", key, [*self.scenarios, "sft"]
            if model.gpu_model:
                yield f"models.{name}.gpu_model", model.gpu_model, self.hardware


def load(layers: Sequence[Layer]) -> Config:
    """Validate a configuration.

    Args:
        layers: the configuration files and ``--config``, later ones winning.

    Raises:
        UserError: one line for the first fault: file, key, what is wrong, the nearest spelling.
    """
    config = merged(layers)
    if root := os.environ.get("W2S_DATA_ROOT"):
        config["data_root"] = root
    try:
        return Config.model_validate(config)
    except ValidationError as failure:
        fault = failure.errors()[0]
        raise UserError(describe(fault, Config, layers)) from None
