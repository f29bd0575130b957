"""From scores to losses: what each objective trains with, as a training's settings put it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from workflow_scripts.config.conflicts import Conflict, PairLoss
from workflow_scripts.config.training import Compat
from workflow_scripts.training import losses


class Objective(Protocol):
    """From scores to losses."""

    def __call__(
        self, scores: Tensor, label: Tensor, reference: Tensor, *, at_start: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return each example's loss and, for pairs, margin: ``[examples]`` both.

        ``scores`` is ``[sequences]``; ``label`` and ``reference`` are ``[examples]``; ``at_start``
        says that no weight has been moved yet.
        """
        ...


@dataclass(frozen=True)
class Likelihood:
    """The negative log-likelihood of single sequences: SFT and pretraining."""

    def __call__(
        self, scores: Tensor, label: Tensor, reference: Tensor, *, at_start: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return the losses; there is no margin."""
        return losses.sft(scores), None


@dataclass(frozen=True)
class Preference:
    """A loss of the margin between a pair's two sequences, under a conflict.

    Attributes:
        pair_loss: from margins and labels to losses.
        conflict: how a competing goal enters the loss.
        starts_as_reference: whether the model is, before the first update, the reference model.
        trigger_without_reference: whether the conflict judges by the policy's margin alone.
    """

    pair_loss: PairLoss
    conflict: Conflict
    starts_as_reference: bool = False
    trigger_without_reference: bool = False

    def __call__(
        self, scores: Tensor, label: Tensor, reference: Tensor, *, at_start: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return the losses and the margins, the latter relative to the reference model's."""
        chosen, rejected = scores.chunk(2)
        of_policy = chosen - rejected
        margin = of_policy - reference.to(scores.dtype)
        trigger = margin
        if self.trigger_without_reference:
            trigger = of_policy
        elif at_start and self.starts_as_reference:
            # The margin is 0, and its sign that of rounding: the reference was scored in batches
            # of other shapes.
            trigger = torch.zeros_like(margin)
        return self.conflict.loss(margin, label, self.pair_loss, trigger=trigger), margin


def _sft(settings: Mapping[str, Any], conflict: Conflict, compat: Compat) -> Objective:
    return Likelihood()


def _reward_model(settings: Mapping[str, Any], conflict: Conflict, compat: Compat) -> Objective:
    return Preference(losses.reward_model, conflict)


def _simpo(settings: Mapping[str, Any], conflict: Conflict, compat: Compat) -> Objective:
    loss = partial(losses.simpo, beta=settings["beta"], gamma=settings["gamma"])
    return Preference(loss, conflict)


def _dpo(settings: Mapping[str, Any], conflict: Conflict, compat: Compat) -> Objective:
    loss = partial(losses.dpo, beta=settings["beta"])
    without_reference = compat.explicit_trigger == "reference"
    return Preference(
        loss,
        conflict,
        starts_as_reference=True,
        trigger_without_reference=without_reference,
    )


OBJECTIVES: dict[str, Callable[[Mapping[str, Any], Conflict, Compat], Objective]] = {
    "sft": _sft,
    "reward_model": _reward_model,
    "simpo": _simpo,
    "dpo": _dpo,
}
"""From settings, conflict and switches to the loss, by the objective's name in the settings."""
