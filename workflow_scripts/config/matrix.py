"""The matrix of cells that a configuration asks for."""

import itertools
from typing import NamedTuple

from workflow_scripts.config.experiment import Config
from workflow_scripts.methods.students.chains import with_intermediates
from workflow_scripts.methods.students.student import Student


class Cell(NamedTuple):
    """One measurement: a weak model supervises a strong one under a conflict.

    ``variant`` is the part of its paths that tells its student from the direct one: a slash and
    the student's name, or nothing.
    """

    target: str
    scenario: str
    weak: str
    strong: str
    conflict: str
    variant: str
    seed: int


def cells(config: Config) -> list[Cell]:
    """Return every cell, in the order of the configuration.

    A student through other models is left out where they don't stand between weak and strong.
    """
    matrix = config.matrix
    return [
        Cell(target, scenario, weak, strong, conflict, student.folder, seed)
        for target, scenario, (weak, strong), conflict, student, seed in itertools.product(
            matrix.targets,
            matrix.scenarios,
            matrix.weak_strong,
            matrix.conflicts,
            matrix.students,
            matrix.seeds,
        )
        if student.fits(weak, strong, matrix.models or ())
    ]


def students(config: Config) -> dict[str, Student]:
    """Return every student that is trained, by ``variant``: those of cells, and those in between.

    Raises:
        ValueError: as ``with_intermediates``; a configuration that was read has none.
    """
    return {student.folder: student for student in with_intermediates(config.matrix.students)}
