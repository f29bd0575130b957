"""The students of a cell: the one that a weak model supervises directly, and variants of it."""

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from workflow_scripts.core.names import Name

DIRECT = "direct"


class Student(BaseModel):
    """How a cell's student is supervised.

    Attributes:
        name: part of the paths of its files where it is not ``direct``.
        filter: least confidence of the labels that it is trained on.
        through: models between the weak and the strong one, each the student of the one before it
            and, in the weak one's place, the supervisor of the next.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    filter: Annotated[float, Field(ge=0.5, lt=1)] | None = None
    through: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _name_says_what_it_is(self) -> Self:
        if re.fullmatch(r"seed\d+", self.name):
            raise ValueError(f"{self.name!r} is a seed's folder; choose another name")
        plain = self.filter is None and not self.through
        if plain and self.name != DIRECT:
            raise ValueError(f"{self.name!r} is as `{DIRECT}`; give it `filter` or `through`")
        if not plain and self.name == DIRECT:
            raise ValueError(f"`{DIRECT}` takes neither `filter` nor `through`; name it otherwise")
        if len(set(self.through)) < len(self.through):
            raise ValueError(f"`through` names a model twice: {', '.join(self.through)}")
        return self

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

        The reference bootstraps on D_gt's prompts after D_weak; longer chains go on in turn.
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


def with_intermediates(students: Iterable[Student]) -> list[Student]:
    """Return students, the direct one among them, and those inside every chain.

    The intermediate model m of a chain w, ..., m, ..., s is an ordinary student without a conflict:
    that of the cell (w, m) through the models before m. Where no student is declared that goes
    through just these, it is named ``via_`` and their names, joined by underscores.

    Raises:
        ValueError: if that name is another student's.
    """
    named = {student.name: student for student in students}
    for student in list(named.values()):
        for links in range(1, len(student.through)):
            through = student.through[:links]
            if _unfiltered(named.values(), through) is None:
                name = "_".join(("via", *through))
                if name in named:
                    raise ValueError(
                        f"{student.name!r} needs a student through {', '.join(through)}, and the "
                        f"name {name!r} is taken; declare it under another name"
                    )
                named[name] = Student(name=name, through=through)
    return list(named.values())


def supervisor(student: Student, students: Iterable[Student]) -> Student:
    """Return the student which the last model before ``student``'s own was.

    Args:
        student: one with a chain.
        students: as ``with_intermediates`` returns them.
    """
    found = _unfiltered(students, student.through[:-1])
    assert found is not None, f"{student.name} is not among students with their intermediates"
    return found


def _unfiltered(students: Iterable[Student], through: tuple[str, ...]) -> Student | None:
    alike = (s for s in students if s.through == through and s.filter is None)
    return next(alike, None)
