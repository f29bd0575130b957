"""Student ``refined``: trained a second time, on what it answered after the first."""

from typing import Literal, Self

from pydantic import model_validator

from workflow_scripts.methods.students.student import Student


class Refined(Student):
    """The strong model from its start again, on labels by the cell's direct student.

    The direct student without a conflict labels the prompts of D_gt, which it was not trained on,
    as a model in a chain does for the next one.

    Source: Burns et al., Weak-to-strong generalization (2023), section 4.3.1, bootstrapping, with
    the strong model as its own intermediate one.
    """

    kind: Literal["refined"] = "refined"

    @model_validator(mode="after")
    def _goes_through_itself(self) -> Self:
        if self.through:
            raise ValueError("the student refines its own labels; leave `through` out")
        return self

    @property
    def trained_on(self) -> str:
        """The set whose prompts it is trained on."""
        return "gt"

    def chain(self, strong: str) -> tuple[str, ...]:
        """Return the strong model itself."""
        return (strong,)
