"""Chains of students: every student inside one is a student of its own."""

from collections.abc import Iterable

from workflow_scripts.methods.students.student import Student
from workflow_scripts.methods.students.supervised import Supervised


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
                named[name] = Supervised(name=name, through=through)
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
    alike = (s for s in students if type(s) is Supervised and s.through == through)
    return next((student for student in alike if student.filter is None), None)
