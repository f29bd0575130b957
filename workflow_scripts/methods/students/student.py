"""What every student shares. Adding one: a file next to this one, and a line in ``registry``."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from workflow_scripts.core.names import Name
from workflow_scripts.core.section import Settings
from workflow_scripts.methods.objectives import PairLoss

if TYPE_CHECKING:
    from torch import Tensor

DIRECT = "direct"
"""The student that the weak model supervises directly, with all its labels."""


class Student(Settings):
    """How a cell's student is supervised; a kind overrides what it changes.

    A kind has a field ``kind: Literal["its name"] = "its name"``.
    """

    kind: Any
    name: Name
    """Part of the paths of its files, unless it is `direct`."""
    filter: Annotated[float, Field(ge=0.5, lt=1)] | None = None
    """Least confidence of the labels that it is trained on."""
    through: tuple[Name, ...] = ()
    """Models between weak and strong: each is supervised by the one before it."""

    @model_validator(mode="after")
    def _name_says_what_it_is(self) -> Self:
        if re.fullmatch(r"seed\d+", self.name):
            raise ValueError(f"{self.name!r} is a seed's folder; choose another name")
        if self.is_direct and self.name != DIRECT:
            raise ValueError(f"{self.name!r} is as `{DIRECT}`; give it `filter` or `through`")
        if not self.is_direct and self.name == DIRECT:
            raise ValueError(f"`{DIRECT}` takes neither `filter` nor `through`; name it otherwise")
        if len(set(self.through)) < len(self.through):
            raise ValueError(f"`through` names a model twice: {', '.join(self.through)}")
        return self

    @property
    def is_direct(self) -> bool:
        """Whether others are compared with it; one of a kind of its own is among the others."""
        return False

    def loss_term(self, margin: "Tensor", label: "Tensor", pair_loss: PairLoss) -> "Tensor | None":
        """Return what is added to the loss of each pair, ``[pairs]``, or None for nothing."""
        return None

    def chain(self, strong: str) -> tuple[str, ...]:
        """Return the models that pass the weak model's supervision on to ``strong``, in order."""
        return self.through

    def labellers(self, weak: str, seed: int) -> list[tuple[str, int]]:
        """Return the weak models, each with its seed, whose labels are averaged for it."""
        return [(weak, seed)]

    @property
    def others(self) -> tuple[str, ...]:
        """Models that its settings name."""
        return self.through

    @property
    def folder(self) -> str:
        """The part of a path that tells this student from the direct one."""
        return "" if self.name == DIRECT else f"/{self.name}"

    @property
    def trained_on(self) -> str:
        """The set whose prompts it is trained on."""
        return _set_of(len(self.through))

    @property
    def labels(self) -> str:
        """The set that it labels where it supervises the next student of a chain.

        The authors bootstrap on D_gt's prompts after D_weak; longer chains go on in turn.
        """
        return _set_of(len(self.through) + 1)

    def fits(self, weak: str, strong: str, models: Sequence[str]) -> bool:
        """Return whether its chain leads from ``weak`` to ``strong``.

        No model may be met twice, and those in ``models``, which is ordered from weak to strong,
        must be met in that order.
        """
        chain = [weak, *self.through, strong]
        places = [models.index(model) for model in chain if model in models]
        return len(set(chain)) == len(chain) and places == sorted(places)


def _set_of(links: int) -> str:
    return "gt" if links % 2 else "weak"
