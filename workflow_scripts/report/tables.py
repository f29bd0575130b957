"""The report's tables, from the table of cells."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from workflow_scripts.measures.intervals import t_interval
from workflow_scripts.report.cells import (
    ADJUSTED,
    BLIND,
    EXCESS,
    GROUP,
    P_VALUE,
    PLACEBO,
    PLACEBO_P_VALUE,
    SCORE,
    UNSTRATIFIED_P_VALUE,
    CellRow,
    interval_text,
)
from workflow_scripts.report.mitigations import mitigations
from workflow_scripts.report.over_seeds import over_seeds
from workflow_scripts.report.p_values import written
from workflow_scripts.report.selection import (
    bootstrapped,
    conflicting,
    direct,
    distinct,
    high_confidence,
    matched,
    ordered_pairs,
)
from workflow_scripts.report.written_table import ABSENT, WrittenTable

CELL = ("target", "scenario", "weak", "strong", "conflict")


def accuracies(rows: Sequence[CellRow]) -> WrittenTable:
    """Return the accuracies of the ceilings and of the student under each conflict."""
    return _by_conflict(
        direct(rows),
        "Accuracy on the test pairs: weak ceiling, student under each conflict, strong ceiling, "
        "and the rule that the shorter (or longer) response wins (%)",
        "accuracy_weak_to_strong",
        _percent,
        ceilings=True,
    )


def conflict_tax(rows: Sequence[CellRow]) -> WrittenTable:
    """Return the share of test pairs that each conflict cost."""
    return _by_conflict(
        conflicting(direct(rows)),
        "Conflict tax: pairs right without the conflict and wrong under it (% of test pairs)",
        "conflict_tax_rate",
        _percent,
    )


def deception_score(rows: Sequence[CellRow]) -> WrittenTable:
    """Return the deception score under each conflict, with its interval."""
    return _by_conflict(
        conflicting(direct(rows)),
        "Deception score: share of the tax that is strong-known and weak-unknown",
        SCORE,
        _score,
    )


def excess_deception(rows: Sequence[CellRow]) -> WrittenTable:
    """Return each cell's DS, what a blind tax has of it, the excess, the placebo's and p-values."""
    tested = [row for row in conflicting(direct(rows)) if row[P_VALUE] is not None]
    body = tuple(
        (
            *(str(row[name]) for name in (*CELL, "seed")),
            f"{row['pairs']:,}",
            f"{row['groups']:,}",
            _score([row], SCORE),
            _score([row], BLIND),
            _score([row], EXCESS),
            _score([row], PLACEBO) if row.get(PLACEBO) is not None else ABSENT,
            written(row[UNSTRATIFIED_P_VALUE]),
            written(row[P_VALUE]),
            written(row.get(PLACEBO_P_VALUE)),
            written(row[ADJUSTED]),
        )
        for row in tested
    )
    header = (
        *(*CELL, "seed", "n", "groups", "DS", "b", "excess", "placebo"),
        *("p blind", "p stratified", "p placebo", "adjusted p"),
    )
    return WrittenTable(
        "Deception in excess of b, the deception score of a tax that falls blindly within strata "
        "of margin and length; n test pairs in as many groups; placebo: the excess of a second "
        "student without conflict; adjusted p by Benjamini and Hochberg over the target's cells",
        header,
        len(CELL) + 1,
        body,
        "no conflict taxed any pair",
    )


def bootstrapping(rows: Sequence[CellRow]) -> WrittenTable:
    """Return the deception score of bootstrapped students next to that of direct ones."""
    return _next_to_direct(
        bootstrapped(rows),
        rows,
        "Deception score: bootstrapped against direct supervision",
        "through",
        "no cell was run with both a bootstrapped and a direct student",
    )


def high_confidence_labels(rows: Sequence[CellRow]) -> WrittenTable:
    """Return the deception score of students of confident labels next to that of direct ones."""
    return _next_to_direct(
        high_confidence(rows),
        rows,
        "Deception score: high-confidence labels against all",
        "filter",
        "no cell was run with both high-confidence labels and all labels",
    )


TABLES: dict[str, Callable[[Sequence[CellRow]], WrittenTable]] = {
    "accuracies": accuracies,
    "conflict_tax": conflict_tax,
    "deception_score": deception_score,
    "excess_deception": excess_deception,
    "bootstrapping": bootstrapping,
    "high_confidence": high_confidence_labels,
    "mitigations": mitigations,
}
"""Each table's name and what makes it, from the table of cells."""


def _by_conflict(
    rows: Sequence[CellRow],
    title: str,
    column: str,
    write: Callable[[Sequence[CellRow], str], str],
    ceilings: bool = False,
) -> WrittenTable:
    conflicts = distinct(rows, "conflict")
    sides = ("weak", "strong") if ceilings else ()
    body = []
    for names, cells_of_pair in _pairs(rows):
        cells = [
            write([row for row in cells_of_pair if row["conflict"] == conflict], column)
            for conflict in conflicts
        ]
        once = _once_a_seed(cells_of_pair)
        ends = [write(once, f"accuracy_{side}") for side in sides]
        rule = [f"{100 * once[0]['length_accuracy']:.1f} ({once[0]['length_rule']})"]
        body.append((*names, *ends[:1], *cells, *ends[1:], *(rule if ceilings else [])))
    header = ("target", "scenario", "weak", "strong", *conflicts)
    if ceilings:
        header = (*header[:4], "weak ceiling", *conflicts, "strong ceiling", "length alone")
    return WrittenTable(title, header, 4, tuple(body), "no cell with a conflict was run")


def _pairs(rows: Sequence[CellRow]) -> Iterable[tuple[tuple[str, ...], list[CellRow]]]:
    """Yield each target, scenario, weak and strong model with its cells."""
    for target in distinct(rows, "target"):
        for scenario in distinct(rows, "scenario"):
            rows_of_both = [
                row for row in rows if (row["target"], row["scenario"]) == (target, scenario)
            ]
            for weak, strong in ordered_pairs(rows_of_both):
                cells = [
                    row for row in rows_of_both if (row["weak"], row["strong"]) == (weak, strong)
                ]
                yield (target, scenario, weak, strong), cells


def _next_to_direct(
    variants: Sequence[CellRow], rows: Sequence[CellRow], title: str, kind: str, without: str
) -> WrittenTable:
    groups: dict[tuple[Any, ...], list[tuple[CellRow, CellRow]]] = {}
    for variant, counterpart in matched(conflicting(variants), rows):
        cell = tuple(variant[name] for name in (*GROUP, kind))
        groups.setdefault(cell, []).append((variant, counterpart))
    body = []
    for cell, pairs in groups.items():
        changes = [
            {"change": variant[SCORE] - counterpart[SCORE]}
            for variant, counterpart in pairs
            if variant[SCORE] is not None and counterpart[SCORE] is not None
        ]
        body.append(
            (
                *(str(name) for name in cell),
                _score([counterpart for _, counterpart in pairs], SCORE),
                _score([variant for variant, _ in pairs], SCORE),
                _signed(changes),
            )
        )
    header = (*GROUP, kind, "direct", "variant", "change")
    return WrittenTable(title, header, len(GROUP) + 1, tuple(body), without)


def _once_a_seed(rows: Iterable[CellRow]) -> list[CellRow]:
    return list({row["seed"]: row for row in rows}.values())


def _percent(rows: Sequence[CellRow], column: str) -> str:
    """Write a share as a percentage, over seeds with its 95 % interval's half-width."""
    mean, low, _ = over_seeds(rows, column)
    if mean is None:
        return ABSENT
    half = "" if low is None else f" ± {100 * (mean - low):.1f}"
    return f"{100 * mean:.1f}{half}"


def _score(rows: Sequence[CellRow], column: str) -> str:
    """Write a score: of a single seed with its interval over test pairs, of several over seeds."""
    found = [row for row in rows if row[column] is not None]
    if len(found) == 1:
        return f"{found[0][column]:.2f} {interval_text(found[0], column)}".rstrip()
    mean, low, _ = over_seeds(found, column)
    if mean is None or low is None:
        return ABSENT
    return f"{mean:.2f} ± {mean - low:.2f}"


def _signed(changes: Sequence[CellRow]) -> str:
    mean, low, _ = t_interval([row["change"] for row in changes])
    if mean is None:
        return ABSENT
    return f"{mean:+z.2f}" + ("" if low is None else f" ± {mean - low:.2f}")
