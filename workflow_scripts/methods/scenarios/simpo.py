"""Scenario ``simpo``: preferences by length-normalised log-probabilities."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PositiveFloat

from workflow_scripts.methods.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from torch import Tensor


class Simpo(Scenario):
    """SimPO: ``-log sigmoid(beta z - gamma)`` on mean log-probabilities per response token."""

    kind: Literal["simpo"] = Field(default="simpo", exclude=True)
    beta: PositiveFloat
    """Scale of the margin in the loss."""
    gamma: Annotated[float, Field(ge=0)]
    """Target margin."""

    def pair_loss(self, margin: "Tensor", label: "Tensor") -> "Tensor":
        """Return SimPO's loss, ``[pairs]``."""
        from workflow_scripts.methods import losses

        return losses.simpo(margin, label, beta=self.beta, gamma=self.gamma)
