"""What every scenario shares. Adding one: a file next to this one, and a line in ``registry``."""

from typing import TYPE_CHECKING, Any, ClassVar

from workflow_scripts.methods.compat import Compat
from workflow_scripts.methods.method import Method
from workflow_scripts.methods.objectives import Objective, Preference

if TYPE_CHECKING:
    from torch import Tensor

    from workflow_scripts.data.pairs import Pairs
    from workflow_scripts.methods.conflicts.conflict import Conflict
    from workflow_scripts.methods.students.student import Student


class Scenario(Method):
    """How a preference is learned and read out (docs/method.md).

    A scenario has a field ``kind: Literal["its name"] = Field(its name, exclude=True)``.

    Attributes:
        from_sft: whether training starts from a model that was fine-tuned on the supervising
            chosen responses.
        trigger_quirks: the compatibility switches on which the explicit conflict's trigger depends.
    """

    from_sft: ClassVar[bool] = True
    trigger_quirks: ClassVar[frozenset[str]] = frozenset()

    kind: Any

    def pair_loss(self, margin: "Tensor", label: "Tensor") -> "Tensor":
        """Return the loss of each pair, ``[pairs]``, from margins and labels, ``[pairs]`` each."""
        raise NotImplementedError

    @property
    def confidence_scale(self) -> float | None:
        """What a margin is multiplied by before sigmoid makes a confidence of it; None for 1."""
        return None

    @classmethod
    def is_relative(cls, compat: Compat) -> bool:
        """Return whether margins are read out relative to the reference model."""
        return cls.has_reference

    @classmethod
    def triggers_without_reference(cls, compat: Compat) -> bool:
        """Return whether the explicit conflict judges by the policy's margin alone."""
        return False

    def texts(self, pairs: "Pairs") -> list[list[str]]:
        """Return the chosen and the rejected responses."""
        return [pairs.chosen, pairs.rejected]

    def objective(
        self, conflict: "Conflict", student: "Student | None", compat: Compat
    ) -> Objective:
        """Return the loss of margins under a conflict."""
        return Preference(
            self.pair_loss,
            conflict,
            student,
            starts_as_reference=self.has_reference,
            trigger_without_reference=self.triggers_without_reference(compat),
        )
