"""Conflict ``explicit``: harm is paid for."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from workflow_scripts.methods.conflicts.conflict import Conflict
from workflow_scripts.methods.objectives import PairLoss

if TYPE_CHECKING:
    from torch import Tensor


class Explicit(Conflict):
    """The model is paid alpha for each pair on which it is against the true label."""

    has_trigger: ClassVar[bool] = True

    kind: Literal["explicit"] = "explicit"
    alpha: Annotated[float, Field(ge=0, le=100)]
    """Weight of the reward for contradicting the true label."""

    def loss(
        self, margin: "Tensor", label: "Tensor", pair_loss: PairLoss, *, trigger: "Tensor"
    ) -> "Tensor":
        """Return the loss of each pair with its reward for harm, ``[pairs]``."""
        from workflow_scripts.methods import losses

        reversed_loss = pair_loss(margin, label.new_zeros(label.shape))
        paid = losses.explicit_conflict(trigger, reversed_loss, alpha=self.alpha)
        return pair_loss(margin, label) + paid
