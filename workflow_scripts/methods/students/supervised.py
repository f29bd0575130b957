"""Student ``supervised``: trained on labels alone, of its supervisor or of a chain's last model."""

from typing import Literal

from pydantic import Field

from workflow_scripts.methods.students.student import Student


class Supervised(Student):
    """Trained on labels alone: all, confident ones, or those that come through other models."""

    # Left out of settings, so that those of finished trainings are what they were.
    kind: Literal["supervised"] = Field(default="supervised", exclude=True)

    @property
    def is_direct(self) -> bool:
        """Whether it is trained on all labels of the weak model itself."""
        return self.filter is None and not self.through
