"""Scenario ``reward_model``: a reward head on a language model."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from workflow_scripts.methods.compat import Compat
from workflow_scripts.methods.readout import Readout
from workflow_scripts.methods.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from torch import Tensor


class RewardModel(Scenario):
    """A bias-free linear head on the last token; by ``linear_probe`` the head alone is trained."""

    from_sft: ClassVar[bool] = False
    score_quirks: ClassVar[frozenset[str]] = frozenset({"reward_pooling", "precision"})
    training_quirks: ClassVar[frozenset[str]] = frozenset({"head_init"})
    soft_labels: ClassVar[bool] = True

    kind: Literal["reward_model"] = Field(default="reward_model", exclude=True)
    linear_probe: bool = False
    """Freeze the model and train only the reward head, on features that are computed once."""

    @model_serializer(mode="wrap")
    def _without_what_is_off(self, as_usual: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Nobody's settings, and so nobody's finished runs, know of a probe that is not asked for.
        settings = as_usual(self)
        if not self.linear_probe:
            del settings["linear_probe"]
        return settings

    @classmethod
    def readout(cls, compat: Compat) -> Readout:
        """Return where the reward is read."""
        if compat.reward_pooling == "reference":
            return Readout.REWARD_AT_NONZERO_COUNT
        return Readout.REWARD

    @property
    def trains_head_alone(self) -> bool:
        """Whether ``linear_probe`` is on."""
        return self.linear_probe

    def pair_loss(self, margin: "Tensor", label: "Tensor") -> "Tensor":
        """Return the cross-entropy of soft labels, ``[pairs]``."""
        from workflow_scripts.methods import losses

        return losses.reward_model(margin, label)
