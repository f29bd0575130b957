"""Scenario ``dpo``: preferences by log-probabilities relative to the SFT model."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveFloat

from workflow_scripts.methods.compat import Compat
from workflow_scripts.methods.readout import Readout
from workflow_scripts.methods.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from torch import Tensor


class Dpo(Scenario):
    """DPO: ``-log sigmoid(beta z)`` on summed log-probabilities, policy minus reference model."""

    has_reference: ClassVar[bool] = True
    label_quirks: ClassVar[frozenset[str]] = frozenset({"dpo_weak_labels"})
    filter_quirks: ClassVar[frozenset[str]] = frozenset({"filter_peek", "filter_scale"})
    trigger_quirks: ClassVar[frozenset[str]] = frozenset({"explicit_trigger"})

    kind: Literal["dpo"] = Field(default="dpo", exclude=True)
    beta: PositiveFloat
    """Scale of the margin in the loss, and in confidences."""

    @classmethod
    def readout(cls, compat: Compat) -> Readout:
        """Return that log-probabilities are summed."""
        return Readout.SUMMED_LOG_PROBABILITY

    @property
    def confidence_scale(self) -> float:
        """The reward's scale: DPO's implicit reward is beta times the margin."""
        return self.beta

    @classmethod
    def is_relative(cls, compat: Compat) -> bool:
        """Return whether margins are read out relative to the reference model."""
        return compat.dpo_weak_labels == "fixed"

    @classmethod
    def triggers_without_reference(cls, compat: Compat) -> bool:
        """Return whether the explicit conflict judges by the policy's margin alone."""
        return compat.explicit_trigger == "reference"

    def pair_loss(self, margin: "Tensor", label: "Tensor") -> "Tensor":
        """Return DPO's loss, ``[pairs]``."""
        from workflow_scripts.methods import losses

        return losses.dpo(margin, label, beta=self.beta)
