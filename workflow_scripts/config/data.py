"""What ``config.yaml`` may say of data: targets, generated worlds, corpora."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from workflow_scripts.config.messages import BelowSection, nearest
from workflow_scripts.core.names import Name
from workflow_scripts.core.section import Count, HubId, LocalPath, Settings, exactly_one
from workflow_scripts.data.formats import FORMATS, fields_of
from workflow_scripts.data.preferences import RESPONSES
from workflow_scripts.data.screening import GROUP

CHANGES_NO_RESULT = "checks the configuration, whose values are in the rules' slices"

SETS = ("gt", "weak", "test", "helpful")


def _checked_format(name: str) -> str:
    if name not in FORMATS:
        raise ValueError(f"{name!r} is not valid{nearest(name, FORMATS)}")
    return name


Format = Annotated[
    str, AfterValidator(_checked_format), Field(json_schema_extra={"enum": list(FORMATS)})
]


class Preference(Settings):
    """What says which of `response_0` and `response_1` is better, where their order does not."""

    column: str | None = None
    """Column of 0 or 1, or of the better response's column; null or -1 is a tie."""
    scores: dict[Literal["response_0", "response_1"], str] | None = None
    """Columns of the responses' scores: the higher one is better."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        exactly_one(self, "column", "scores")
        if self.scores is not None and len(self.scores) < len(RESPONSES):
            raise ValueError("`scores` needs the columns of both response_0 and response_1")
        return self


class Source(Settings):
    """Where preference rows come from: the hub, a local file or folder, or a small world."""

    hub: HubId | None = None
    """Data set on the hub, `owner/name`; give one of `hub`, `path` and `world`."""
    revision: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None = None
    """Commit or branch on the hub; report.json records the commit that was read."""
    data_dir: str | None = None
    """Folder within the data set on the hub."""
    config: Name | None = None
    """Configuration (subset) of the data set on the hub or in a folder."""
    path: LocalPath | None = None
    """File (JSON, CSV, TSV, Parquet) or folder (hub format, save_to_disk), below `data_root`."""
    world: Name | None = None
    """A generated world, a key of `worlds`."""
    split: str = Field("train", pattern=r"^[A-Za-z0-9_.\[\]:%-]+$")
    """Split to read."""
    format: Format
    """How a row is read."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Column that holds each of the format's fields, where it is named differently."""
    prefer: Preference | None = None
    """What says which response is better; `columns` may name response_0 and response_1 then."""
    multi_turn: bool | None = None
    """Take dialogues of several turns: all up to the last assistant turn is the prompt."""
    repeated_prompts: bool | None = None
    """Keep several pairs of one prompt, all in one set and one group."""
    group: Annotated[str, Field(min_length=1)] | None = None
    """Column that says which pairs are about one thing; otherwise pairs of one prompt are."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        exactly_one(self, "hub", "path", "world")
        if self.hub and not self.revision:
            raise ValueError("a hub data set needs `revision`: a commit, or a branch")
        return self

    @property
    def group_column(self) -> str | None:
        """The column that says which pairs are about one thing: a world's own, if none is given."""
        return self.group or (GROUP if self.world else None)

    @model_validator(mode="after")
    def _columns_are_of_the_format(self) -> Self:
        fmt = FORMATS[self.format]
        if self.prefer and "chosen" not in fmt.required:
            raise BelowSection("prefer", f"format {self.format} says itself what is better")
        if self.multi_turn and not fmt.dialogue:
            dialogues = ", ".join(name for name in FORMATS if FORMATS[name].dialogue)
            raise BelowSection("multi_turn", f"only formats of dialogues have turns: {dialogues}")
        fields = fields_of(self.format, prefer=self.prefer is not None)
        for field in self.columns:
            if field not in fields:
                raise BelowSection(
                    f"columns.{field}",
                    f"format {self.format} has no field {field!r}{nearest(field, fields)}",
                )
        return self


class PairSet(Settings):
    """One of the four sets of a target: at most ``size`` pairs of ``source``."""

    size: Count
    """Pairs in the set at most."""
    source: Source
    """Where they come from."""


class PairSets(Settings):
    """The four sets, disjoint by group and by prompt (docs/method.md)."""

    gt: PairSet
    """D_gt: trains the ceilings with true labels."""
    weak: PairSet
    """D_weak: the weak model labels it, the student learns from the labels."""
    test: PairSet
    """D_test: every margin in a probe is on these pairs."""
    helpful: PairSet
    """D_helpful: true pairs of the competing goal."""


class Target(Settings):
    """A target goal and its competing goal."""

    seed: int = 0
    """Seed of the shuffle that deals a shared source out to the sets."""
    max_bad: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Largest share of unusable rows; a larger one stops the run."""
    sets: PairSets
    """The four sets of pairs."""


class World(Settings):
    """A generated world (``data/worlds.py``)."""

    seed: int
    """Seed of the world."""
    substances: Annotated[int, Field(ge=40, le=20_000)]
    """Number of substances, one token each."""
    mentions: Count
    """Number of encyclopedia entries."""
    zipf_exponent: Annotated[float, Field(ge=0, le=3)]
    """The k-th substance is mentioned in proportion to k ** -zipf_exponent."""
    phrasings: Count
    """Phrasings in which a set asks about each of its substances."""


class TokenizerSettings(Settings):
    """How a corpus is cut into tokens."""

    kind: Literal["word", "bpe"]
    """Whole words, or byte-level BPE."""
    vocab_size: Annotated[int, Field(ge=300, le=200_000)]
    """Tokens in the vocabulary at most."""


class Corpus(Settings):
    """Texts to pretrain on: a world's encyclopedia, or the texts of a target's training sets."""

    world: Name | None = None
    """World whose encyclopedia it is, a key of `worlds`; give this or `target`."""
    target: Name | None = None
    """Target whose training texts it is, a key of `targets`."""
    sets: list[Literal["gt", "weak", "helpful"]] = Field(["gt", "weak", "helpful"])
    """Which of the target's sets."""
    tokenizer: TokenizerSettings
    """The tokenizer that is trained on the corpus."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        exactly_one(self, "world", "target")
        return self
