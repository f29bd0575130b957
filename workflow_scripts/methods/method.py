"""What every way of training has: how long and how fast, and how a text's score is read out."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat

from workflow_scripts.core.section import Count, Settings
from workflow_scripts.methods.compat import Compat
from workflow_scripts.methods.objectives import Likelihood, Objective
from workflow_scripts.methods.readout import Readout

if TYPE_CHECKING:
    from workflow_scripts.data.pairs import Pairs
    from workflow_scripts.methods.conflicts.conflict import Conflict
    from workflow_scripts.methods.students.student import Student


class Method(Settings):
    """A way of training: its settings, and what it makes of texts, labels and scores.

    Attributes:
        score_quirks: the compatibility switches on which the score of a text depends.
        label_quirks: those on which margins depend, when the model labels or predicts.
        filter_quirks: those on which it depends which of its labels are confident.
        training_quirks: those on which its training depends, besides its scores.
        soft_labels: whether a supervisor's label is its probability, and not its choice.
        has_reference: whether margins are relative to a frozen reference model.
    """

    score_quirks: ClassVar[frozenset[str]] = frozenset({"bos_in_response", "precision"})
    label_quirks: ClassVar[frozenset[str]] = frozenset()
    filter_quirks: ClassVar[frozenset[str]] = frozenset({"filter_peek"})
    training_quirks: ClassVar[frozenset[str]] = frozenset()
    soft_labels: ClassVar[bool] = False
    has_reference: ClassVar[bool] = False

    epochs: Count
    """Passes over the pairs."""
    learning_rate: PositiveFloat
    """Peak learning rate."""
    schedule: Literal["cosine", "constant"]
    """Cosine to 0, or constant; either after the warm-up."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the steps over which the learning rate rises linearly."""

    @classmethod
    def readout(cls, compat: Compat) -> Readout:
        """Return what is read out of a sequence."""
        return Readout.MEAN_LOG_PROBABILITY

    @property
    def trains_head_alone(self) -> bool:
        """Whether a reward head alone is trained, on the features of a frozen model."""
        return False

    def texts(self, pairs: "Pairs") -> list[list[str]]:
        """Return the responses that are trained on: columns of one response a pair."""
        raise NotImplementedError

    def objective(
        self, conflict: "Conflict", student: "Student | None", compat: Compat
    ) -> Objective:
        """Return what is minimised under a conflict; ``student`` is None for a ceiling."""
        raise NotImplementedError


class Sft(Method):
    """Supervised fine-tuning on the supervising chosen responses (paper, section 3)."""

    training_quirks: ClassVar[frozenset[str]] = frozenset({"sft_divisor"})

    @classmethod
    def readout(cls, compat: Compat) -> Readout:
        """Return what the mean of a response's log-probabilities is over."""
        if compat.sft_divisor == "reference":
            return Readout.MEAN_OVER_ALL_TOKENS
        return Readout.MEAN_LOG_PROBABILITY

    def texts(self, pairs: "Pairs") -> list[list[str]]:
        """Return the response of each pair that its label prefers."""
        return [pairs.preferred()]

    def objective(
        self, conflict: "Conflict", student: "Student | None", compat: Compat
    ) -> Objective:
        """Return the negative log-likelihood; a conflict changes the data alone."""
        return Likelihood()
