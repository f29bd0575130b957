"""What a rule hands a stage as ``--settings``: one class a stage, built by ``reruns.slices``.

Their JSON is what a finished run is compared with, so it has one spelling, and a key that is added
to it reruns the stage.
"""

import argparse
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, model_validator

from workflow_scripts.config.data import TokenizerSettings, World
from workflow_scripts.config.models import Architecture, Lora, Package
from workflow_scripts.config.training import Adam
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import canonical_json
from workflow_scripts.core.section import Count, Settings, Share
from workflow_scripts.methods.compat import Compat
from workflow_scripts.methods.conflicts.registry import AnyConflict
from workflow_scripts.methods.method import Method
from workflow_scripts.methods.scenarios.registry import METHODS
from workflow_scripts.methods.students.registry import AnyStudent

Seed = str
"""The name of what is made, from which random numbers are drawn."""


class StageSettings(Settings):
    """The settings of a stage."""

    optional: ClassVar[frozenset[str]] = frozenset()
    """Fields that the JSON is without where they are None."""

    @classmethod
    def parsed(cls, text: str) -> Self:
        """Return the settings in the JSON of a stage's ``--settings``.

        Raises:
            UserError: naming the first key that is wrong.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as failure:
            fault = failure.errors()[0]
            key = ".".join(map(str, fault["loc"])) or "the whole"
            message = fault["msg"].removeprefix("Value error, ")
            raise UserError(f"--settings: {key}: {message}") from failure

    def content(self) -> dict[str, Any]:
        """Return the settings as JSON has them."""
        dumped = self.model_dump(mode="json")
        if isinstance(compat := getattr(self, "compat", None), Compat):
            # Only the switches that the stage's result depends on.
            dumped["compat"] = compat.model_dump(exclude_unset=True)
        return {
            name: value
            for name, value in dumped.items()
            if value is not None or name not in self.optional
        }

    def text(self) -> str:
        """Return the one spelling of the settings as JSON."""
        return canonical_json(self.content())


def add_settings(parser: argparse.ArgumentParser, settings: type[StageSettings]) -> None:
    """Declare ``--settings`` of a stage, which its ``run`` parses."""
    keys = ", ".join(settings.model_fields)
    parser.add_argument("--settings", required=True, help=f"settings, as JSON: {keys}")


class WorldSettings(World, StageSettings):
    """Of stage ``world``."""


class SetSettings(Settings):
    """Where one of a target's sets is read from: a source's keys, worlds as files."""

    size: Count
    source: dict[str, Any]


class DataSettings(StageSettings):
    """Of stage ``prepare_data``."""

    optional = frozenset({"unscreened"})

    target: str
    seed: int
    max_bad: float
    sets: dict[str, SetSettings]
    unscreened: Literal[True] | None = None


class BaseModelSettings(StageSettings):
    """Of stage ``base_model``: where a model comes from."""

    optional = frozenset({"package", "depth", "chat"})

    id: str | None
    revision: str | None
    path: str | None
    pickled_weights: bool
    package: Package | None = None
    depth: Count | None = None
    chat: Literal[True] | None = None


class CorpusSettings(TokenizerSettings, StageSettings):
    """Of stage ``tokenizer``; ``sets`` is the order of a target's texts."""

    optional = frozenset({"sets"})

    sets: Sequence[str] | None = None


class PretrainSettings(StageSettings):
    """Of stage ``pretrain``."""

    optional = frozenset({"depth"})

    tokens: Count | None
    architecture: Architecture
    steps: Count
    batch_size: Count
    sequence_length: Count
    learning_rate: float
    seed: Seed
    depth: Count | None = None


class TrainSettings(StageSettings):
    """Of stage ``train``: the method's own settings lie flat among the others.

    Attributes:
        objective: the method's name, a key of ``METHODS``.
        conflict: of a student; a ceiling has none.
        student: how a student is supervised; absent for the direct one.
        lora: of a model that is trained with adapters; absent for others.
        checkpoint_dtype: of the weights that are stored; absent for float32, in which they are
            trained.
    """

    optional = frozenset({"conflict", "student", "lora", "checkpoint_dtype"})

    objective: str
    method: Method
    seed: Seed
    batch_size: Count
    max_length: Count
    data_order: Literal["shuffled", "file", "shuffled_once"]
    adam: Adam
    compat: Compat
    conflict: AnyConflict | None = None
    student: AnyStudent | None = None
    lora: Lora | None = None
    checkpoint_dtype: Literal["bfloat16"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _with_method(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "method" in given:
            return given
        name = given.get("objective")
        if name not in METHODS:
            raise ValueError(f"objective {name}: not one of {', '.join(METHODS)}")
        kind = METHODS[name]
        own = {key: given[key] for key in kind.model_fields if key in given}
        others = {key: value for key, value in given.items() if key not in own}
        return others | {"method": kind.model_validate(own)}

    def content(self) -> dict[str, Any]:
        """Return the settings as JSON has them."""
        given = super().content()
        del given["method"]
        return given | self.method.model_dump(mode="json")


class ReadoutSettings(StageSettings):
    """Of stage ``predict``: how margins are read out."""

    objective: str
    max_length: Count
    compat: Compat


class LabelSettings(ReadoutSettings):
    """Of stage ``weak_labels``; ``beta`` scales margins to probabilities, None for 1."""

    beta: float | None


class TextSettings(StageSettings):
    """Of stages ``reference`` and ``features``: how texts are cut and read."""

    max_length: Count
    compat: Compat


class ProbeSettings(StageSettings):
    """Of stages ``probe`` and ``inspection``: a cell, and how its margins become figures.

    Attributes:
        filter: of its student; absent for the direct one, as are the next two.
        through: likewise.
        student_settings: what the student's kind adds; absent for labels alone.
        lora_of: the model that is as the strong one, but without its adapters, if there is one.
        beta: scales margins to confidences, None for 1.
        compat: the switches on which the margins depend, for the record.
    """

    target: str
    scenario: str
    weak: str
    strong: str
    conflict: str
    student: str
    seed: int
    beta: float | None
    compat: Compat
    threshold: float
    sweep: list[float]
    resamples: Annotated[int, Field(ge=100)]
    interval: Share
    linear_probe: bool | None = None
    lora_of: str | None = None
    filter: float | None = None
    through: Sequence[str] | None = None
    student_settings: dict[str, Any] | None = None

    def content(self) -> dict[str, Any]:
        """Return the settings as JSON has them: those that were given."""
        return self.model_dump(mode="json", exclude_unset=True)


class PageSettings(StageSettings):
    """Of stage ``page``: all of the configuration that a result depends on."""

    matrix: dict[str, Any]
    scenarios: dict[str, Any]
    sft: dict[str, Any]
    training: dict[str, Any]
    compat: Compat
    probe: dict[str, Any]
    targets: dict[str, Any]
    conflicts: dict[str, Any]
    models: dict[str, Any]
