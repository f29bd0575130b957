"""The matrix of cells that a configuration asks for."""

import itertools
from collections.abc import Iterable
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
    found = (
        Cell(target, scenario, weak, strong, conflict, student.folder, seed)
        for product in matrix.products
        for target, scenario, (weak, strong), conflict, student, seed in itertools.product(
            matrix.targets,
            product.scenarios,
            product.weak_strong,
            product.conflicts,
            product.students,
            product.seeds,
        )
        if student.fits(weak, strong, matrix.models or ())
    )
    return list(dict.fromkeys(found))


def seeds(cells: Iterable[Cell]) -> dict[Cell, list[int]]:
    """Return the seeds under which each cell is run, in order, by the cell of seed 0."""
    found: dict[Cell, list[int]] = {}
    for cell in cells:
        found.setdefault(cell._replace(seed=0), []).append(cell.seed)
    return found


def students(config: Config) -> dict[str, Student]:
    """Return every student that is trained, by ``variant``: those of cells, and those in between.

    Raises:
        ValueError: as ``with_intermediates``; a configuration that was read has none.
    """
    return {student.folder: student for student in with_intermediates(config.matrix.all_students)}
