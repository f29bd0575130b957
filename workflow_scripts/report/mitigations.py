"""What mitigates: each kind of student against the direct student of the same cells."""

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from workflow_scripts.methods.students.student import DIRECT
from workflow_scripts.report.cells import BLIND, EXCESS, FEW, LEAST_EFFECTIVE, SCORE, CellRow
from workflow_scripts.report.replication import (
    difference,
    estimate,
    mean_of,
    pairs_error,
)
from workflow_scripts.report.selection import conflicting, direct, distinct, matched
from workflow_scripts.report.written_table import ABSENT, WrittenTable

TAX = "conflict_tax_rate"
ACCURACY = "accuracy_weak_to_strong"
RECOVERED = "performance_gap_recovered_weak_to_strong"
PARTS = (SCORE, BLIND, EXCESS)
PAIRS_ALONE = "test pairs alone"
ADAPTED = "LoRA"
"""What the direct student is called where LoRA adapters are trained; others train all weights."""
HEADER = (
    *("target", "student", "supervision", "cells", "with tax"),
    *("excess", "excess low", "excess high"),
    *("change", "change low", "change high", "interval over"),
    *("tax %", "change of tax", "accuracy %", "change of accuracy", "PGR", "change of PGR"),
)


class Bounded(NamedTuple):
    """A mean over cells with its interval, and what that is over; None where undefined."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    over: str = ""


def mitigations(rows: Sequence[CellRow]) -> WrittenTable:
    """Return a row a target and kind of student, each next to the direct student."""
    body = tuple(
        line
        for target in distinct(rows, "target")
        for line in _of_target([row for row in conflicting(rows) if row["target"] == target])
    )
    return WrittenTable(
        "What mitigates: means over the cells with a conflict. Excess: deception score less b, "
        "that of a tax which falls blindly within strata; change: from the direct student of the "
        "same cells and seeds to the student of the row; PGR: performance gap recovered; "
        "intervals: 95 %, over models (four or more) or seeds (three or more) and test pairs",
        HEADER,
        3,
        body if any(line[1] != DIRECT for line in body) else (),
        "no student but the direct one was run (matrix.students)",
    )


def _of_target(rows: Sequence[CellRow]) -> list[tuple[str, ...]]:
    """Return a target's lines: the direct student's, then each variant's."""
    plain = direct(rows)
    lines = [_line(DIRECT, [(row, row) for row in plain])] if plain else []
    for name in distinct(rows, "student"):
        if name != DIRECT:
            pairs = matched([row for row in rows if row["student"] == name], rows)
            lines += [_line(name, pairs)] if pairs else []
    adapted = matched([{**row, "strong": row["lora_of"]} for row in plain if row["lora_of"]], plain)
    return [*lines, *([_line(ADAPTED, adapted)] if adapted else [])]


def _line(name: str, pairs: Sequence[tuple[CellRow, CellRow]]) -> tuple[str, ...]:
    """Write one line from the cells of a student and of the direct student, in pairs."""
    against_itself = name == DIRECT
    taxed = [pair for pair in pairs if all(row[part] is not None for row in pair for part in PARTS)]
    excess = _mean([variant for variant, _ in taxed])
    change = (
        Bounded(over=excess.over)
        if against_itself
        else _mean([difference(variant, plain, PARTS) for variant, plain in taxed])
    )
    written = [
        pairs[0][0]["target"],
        name,
        _supervision(pairs[0][0]),
        f"{len(pairs)}",
        f"{len(taxed)}",
        *(_signed(end) for end in excess[:3]),
        *(_signed(end) for end in change[:3]),
        change.over or ABSENT,
    ]
    for column, scale, digits in ((TAX, 100, 1), (ACCURACY, 100, 1), (RECOVERED, 1, 2)):
        known = [pair for pair in pairs if all(row[column] is not None for row in pair)]
        if not known:
            written += [ABSENT, ABSENT]
            continue
        value, plain = (
            scale * fmean(row[column] for row in side) for side in zip(*known, strict=True)
        )
        written.append(f"{value:.{digits}f}")
        written.append(ABSENT if against_itself else f"{value - plain:+z.{digits}f}")
    return tuple(written)


def _mean(rows: Sequence[CellRow]) -> Bounded:
    """Return the mean excess of cells, with the widest interval that there is data for."""
    found = estimate(rows, mean_of(EXCESS), EXCESS) if rows else None
    if found is None:
        return Bounded()
    if sum(row["effective_tax"] for row in rows) < LEAST_EFFECTIVE:
        return Bounded(found.value, over=FEW)
    if found.interval:
        return Bounded(found.value, *found.interval, found.basis.removeprefix("over "))
    half = pairs_error(rows, mean_of(EXCESS), EXCESS)
    if half is None:
        return Bounded(found.value)
    return Bounded(found.value, found.value - half, found.value + half, PAIRS_ALONE)


def _supervision(row: CellRow) -> str:
    """Write how a student is supervised, from its cell."""
    if row["kind"]:
        return row["kind"].replace("_", " ")
    if row["lora_of"]:
        return "all labels, adapters trained"
    told = [f"through {row['through']}"] if row["through"] else []
    told += [] if row["filter"] is None else [f"labels of {row['filter']:g} or more"]
    return ", ".join(told) or "all labels"


def _signed(value: float | None) -> str:
    return ABSENT if value is None else f"{value:+z.3f}"
