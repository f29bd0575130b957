"""From scores to losses: what the training loop minimises."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from workflow_scripts.methods.conflicts.conflict import Conflict
    from workflow_scripts.methods.students.student import Student

PairLoss = Callable[["Tensor", "Tensor"], "Tensor"]
"""From margins and labels, each ``[pairs]``, to losses, ``[pairs]``."""


class Objective(Protocol):
    """From scores to losses."""

    def __call__(
        self, scores: "Tensor", label: "Tensor", reference: "Tensor", *, at_start: bool = False
    ) -> "tuple[Tensor, Tensor | None]":
        """Return each example's loss and, for pairs, margin: ``[examples]`` both.

        ``scores`` is ``[sequences]``; ``label`` and ``reference`` are ``[examples]``; ``at_start``
        says that no weight has been moved yet.
        """
        ...


@dataclass(frozen=True)
class Likelihood:
    """The negative log-likelihood of single sequences: SFT and pretraining."""

    def __call__(
        self, scores: "Tensor", label: "Tensor", reference: "Tensor", *, at_start: bool = False
    ) -> "tuple[Tensor, Tensor | None]":
        """Return the losses, ``[sequences]``; there is no margin."""
        from workflow_scripts.methods import losses

        return losses.sft(scores), None


@dataclass(frozen=True)
class Preference:
    """A loss of the margin between a pair's two sequences, under a conflict.

    Attributes:
        pair_loss: from margins and labels to losses.
        conflict: how a competing goal enters the loss.
        student: what it adds to the loss; None for a ceiling.
        starts_as_reference: whether the model is, before the first update, the reference model.
        trigger_without_reference: whether the conflict judges by the policy's margin alone.
    """

    pair_loss: PairLoss
    conflict: "Conflict"
    student: "Student | None" = None
    starts_as_reference: bool = False
    trigger_without_reference: bool = False

    def __call__(
        self, scores: "Tensor", label: "Tensor", reference: "Tensor", *, at_start: bool = False
    ) -> "tuple[Tensor, Tensor | None]":
        """Return the losses and the margins relative to the reference model's, ``[pairs]`` both."""
        chosen, rejected = scores.chunk(2)
        policy_margin = chosen - rejected
        margin = policy_margin - reference.to(scores.dtype)
        trigger = margin
        if self.trigger_without_reference:
            trigger = policy_margin
        elif at_start and self.starts_as_reference:
            # The margin is 0, and its sign that of rounding: the reference was scored in batches
            # of other shapes.
            trigger = margin.new_zeros(margin.shape)
        loss = self.conflict.loss(margin, label, self.pair_loss, trigger=trigger)
        term = self.student and self.student.loss_term(margin, label, self.pair_loss)
        return (loss if term is None else loss + term), margin
