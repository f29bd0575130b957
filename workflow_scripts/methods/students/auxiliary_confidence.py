"""Student ``auxiliary_confidence``: paid for its own choice as well as for its supervisor's."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from workflow_scripts.methods.objectives import PairLoss
from workflow_scripts.methods.students.student import Student

if TYPE_CHECKING:
    from torch import Tensor


class AuxiliaryConfidence(Student):
    """Trained on ``(1 - weight) L(z, label) + weight L(z, own choice)``.

    Source: Burns et al., Weak-to-strong generalization (2023), section 4.3 and appendix A.4: the
    auxiliary confidence loss. A pair has no order, so its own choice is the sign of z, where theirs
    is thresholded to a half of each batch; and the weight is constant, where theirs rises linearly
    over the first fifth of the training.
    """

    kind: Literal["auxiliary_confidence"] = "auxiliary_confidence"
    weight: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of its own choice in the loss."""

    def loss_term(self, margin: "Tensor", label: "Tensor", pair_loss: PairLoss) -> "Tensor":
        """Return what the loss of its own choice adds, ``[pairs]``."""
        own = (margin.detach() > 0).to(label.dtype)
        return self.weight * (pair_loss(margin, own) - pair_loss(margin, label))
