"""The section ``matrix`` of ``config.yaml``: which cells are run."""

from collections.abc import Iterator
from typing import Annotated, NamedTuple, Self

from pydantic import Field, model_validator

from workflow_scripts.config.messages import BelowSection
from workflow_scripts.core.names import Name
from workflow_scripts.core.section import Settings, exactly_one
from workflow_scripts.methods.students.chains import with_intermediates
from workflow_scripts.methods.students.registry import AnyStudent
from workflow_scripts.methods.students.student import DIRECT, Student
from workflow_scripts.methods.students.supervised import Supervised

CHANGES_NO_RESULT = "says which cells there are, not what is in them"

Pair = tuple[Name, Name]
Seed = Annotated[int, Field(ge=0)]


class Product(NamedTuple):
    """Cells that are the product of these lists, for every target."""

    scenarios: list[str]
    weak_strong: list[tuple[str, str]]
    conflicts: list[str]
    students: list[Student]
    seeds: list[int]


class More(Settings):
    """Cells beside those of the matrix: the product of these lists.

    What it leaves out is as in the matrix.
    """

    scenarios: list[Name] | None = Field(None, min_length=1)
    """Keys of `scenarios`."""
    conflicts: list[Name] | None = Field(None, min_length=1)
    """Keys of `conflicts`; `none` must be among them."""
    pairs: list[Pair] | None = Field(None, min_length=1)
    """The (weak, strong) pairs."""
    seeds: list[Seed] | None = Field(None, min_length=1)
    """Seeds of the trainings."""
    students: list[AnyStudent] | None = Field(None, min_length=1)
    """How these cells' students are supervised."""

    @model_validator(mode="after")
    def _lists_are_sound(self) -> Self:
        _check_lists(self, "scenarios", "conflicts", "pairs", "seeds")
        return self


class Matrix(Settings):
    """Which cells are run: the product of these lists, and `more`."""

    targets: list[Name] = Field(min_length=1)
    """Keys of `targets`."""
    scenarios: list[Name] = Field(min_length=1)
    """Keys of `scenarios`: ways of learning a preference."""
    conflicts: list[Name] = Field(min_length=1)
    """Keys of `conflicts`; `none` must be among them."""
    models: list[Name] | None = None
    """Keys of `models`, from weak to strong: every ordered pair is run. Give this or `pairs`."""
    pairs: list[Pair] | None = None
    """The (weak, strong) pairs to run, one by one."""
    seeds: list[Seed] = Field(min_length=1)
    """Seeds of the trainings."""
    students: list[AnyStudent] = Field([Supervised(name=DIRECT)])
    """How each cell's student is supervised; `direct` must be among them."""
    more: list[More] = Field(default_factory=list)
    """Further cells, such as more seeds for one scenario; a cell named twice is run once."""

    @model_validator(mode="after")
    def _lists_are_sound(self) -> Self:
        exactly_one(self, "models", "pairs")
        if self.models is not None and len(self.models) < 2:
            raise BelowSection("models", "names fewer than two models; a weak and a strong one")
        _check_lists(self, "targets", "scenarios", "conflicts", "models", "pairs", "seeds")
        return self

    @model_validator(mode="after")
    def _students_have_cells(self) -> Self:
        if all(student.name != DIRECT for student in self.students):
            raise BelowSection("students", f"variants are compared with `{DIRECT}`; add it")
        first = {student.name: student for student in self.all_students}
        for (where, part), product in zip(self.parts(), self.products, strict=True):
            students = part.students or []
            names = [student.name for student in students]
            for i, student in enumerate(students):
                key = f"{where}students.{i}"
                if names.index(student.name) < i:
                    raise BelowSection(
                        f"{key}.name", f"{student.name!r} is already a student's name"
                    )
                if not any(student.fits(*pair, self.models or ()) for pair in product.weak_strong):
                    if student.through:
                        raise BelowSection(f"{key}.through", "stands between the models of no cell")
                    raise BelowSection(
                        f"{key}.models", "are weaker than the strong model of no cell"
                    )
                if first[student.name] != student:
                    raise BelowSection(
                        f"{key}.name", f"{student.name!r} is the name of another student above"
                    )
        with_intermediates(self.all_students)
        return self

    @property
    def weak_strong(self) -> list[tuple[str, str]]:
        """The (weak, strong) pairs but for those of `more`: as listed, or all of ``models``."""
        if self.pairs is not None:
            return self.pairs
        models = self.models or []
        return [(weak, strong) for i, weak in enumerate(models) for strong in models[i + 1 :]]

    @property
    def products(self) -> list[Product]:
        """The matrix's own product, then one for each entry of `more`."""
        own = Product(self.scenarios, self.weak_strong, self.conflicts, self.students, self.seeds)
        return [own] + [
            Product(
                part.scenarios or own.scenarios,
                part.pairs or own.weak_strong,
                part.conflicts or own.conflicts,
                part.students or own.students,
                part.seeds or own.seeds,
            )
            for part in self.more
        ]

    def parts(self) -> Iterator[tuple[str, "Matrix | More"]]:
        """Yield the matrix and each entry of `more`, with what the keys of its lists begin with."""
        yield "", self
        for place, part in enumerate(self.more):
            yield f"more.{place}.", part

    @property
    def all_conflicts(self) -> list[str]:
        """The conflicts of all cells."""
        return list(dict.fromkeys(name for part in self.products for name in part.conflicts))

    @property
    def all_students(self) -> list[Student]:
        """The students of all cells; of two by one name, the first."""
        named: dict[str, Student] = {}
        for part in self.products:
            for student in part.students:
                named.setdefault(student.name, student)
        return list(named.values())

    @property
    def trained_models(self) -> list[str]:
        """The models of all pairs, by name."""
        return sorted({m for part in self.products for pair in part.weak_strong for m in pair})


def _check_lists(section: Matrix | More, *keys: str) -> None:
    for key in keys:
        values = getattr(section, key) or []
        for value in values:
            if values.count(value) > 1:
                raise ValueError(f"`{key}` names {value} twice")
    for place, (weak, strong) in enumerate(section.pairs or []):
        if weak == strong:
            raise BelowSection(f"pairs.{place}", f"{weak} cannot supervise itself; name two models")
