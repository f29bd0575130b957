"""Student ``ensemble``: supervised by the mean of several weak models' labels."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from workflow_scripts.core.names import Name
from workflow_scripts.methods.students.student import Student


class Ensemble(Student):
    """Trained on labels whose probability is the mean over weak models and seeds.

    Source: Sang et al., Improving weak-to-strong generalization with scalable oversight and
    ensemble learning (2024), where weak models' predictions are combined.
    """

    kind: Literal["ensemble"] = "ensemble"
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Seeds of the weak models; none for the cell's own."""
    models: tuple[Name, ...] = ()
    """Weak models besides the cell's own; each is weaker than its strong one."""

    @model_validator(mode="after")
    def _has_several_supervisors(self) -> Self:
        if self.through:
            raise ValueError("an ensemble labels by itself; leave `through` out")
        for key in ("seeds", "models"):
            values = getattr(self, key)
            if len(set(values)) < len(values):
                raise ValueError(f"`{key}` names one twice: {', '.join(map(str, values))}")
        if len(self.seeds) < 2 and not self.models:
            raise ValueError("an ensemble of one; give two `seeds` or more, or other `models`")
        return self

    @property
    def others(self) -> tuple[str, ...]:
        """The other weak models."""
        return self.models

    def labellers(self, weak: str, seed: int) -> list[tuple[str, int]]:
        """Return every weak model with every seed."""
        return [(model, s) for model in (weak, *self.models) for s in self.seeds or (seed,)]

    def fits(self, weak: str, strong: str, models: Sequence[str]) -> bool:
        """Return whether the other weak models are neither of the two, and weaker than strong."""
        if {weak, strong} & set(self.models):
            return False
        ranked = [models.index(model) for model in self.models if model in models]
        return strong not in models or all(place < models.index(strong) for place in ranked)
