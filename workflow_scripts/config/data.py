"""What ``config.yaml`` may say of data: targets, generated worlds, corpora."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from workflow_scripts.config.messages import BelowSection, nearest
from workflow_scripts.core.names import Name
from workflow_scripts.core.section import HubId, Settings, exactly_one
from workflow_scripts.data.formats import FORMATS

CHANGES_NO_RESULT = "checks the configuration, whose values are in the rules' slices"

SETS = ("gt", "weak", "test", "helpful")


def _checked_format(name: str) -> str:
    if name not in FORMATS:
        raise ValueError(f"{name!r} is not valid{nearest(name, FORMATS)}")
    return name


Format = Annotated[str, AfterValidator(_checked_format)]


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
    columns: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        exactly_one(self, "hub", "path", "world")
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
    """A generated world (``workflow_scripts/stages/world.py``)."""

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
    sets: list[Literal["gt", "weak", "helpful"]] = Field(["gt", "weak", "helpful"])
    tokenizer: TokenizerSettings

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        exactly_one(self, "world", "target")
        return self
