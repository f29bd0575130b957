"""Every kind of student, by the name that settings call it."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from workflow_scripts.methods.students.auxiliary_confidence import AuxiliaryConfidence
from workflow_scripts.methods.students.ensemble import Ensemble
from workflow_scripts.methods.students.refined import Refined
from workflow_scripts.methods.students.student import Student
from workflow_scripts.methods.students.supervised import Supervised

STUDENTS: dict[str, type[Student]] = {
    "supervised": Supervised,
    "auxiliary_confidence": AuxiliaryConfidence,
    "ensemble": Ensemble,
    "refined": Refined,
}
"""Each kind's class."""


def with_kind(student: Any) -> Any:
    """Return a student's settings with its kind: ``supervised`` where they give none."""
    return {"kind": "supervised", **student} if isinstance(student, Mapping) else student


if TYPE_CHECKING:
    AnyStudent = Student
else:
    AnyStudent = Annotated[
        Annotated[reduce(or_, STUDENTS.values()), Field(discriminator="kind")],
        BeforeValidator(with_kind),
    ]
