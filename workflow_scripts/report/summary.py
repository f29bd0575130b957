"""The table of cells as `rich` prints it on a terminal."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from workflow_scripts.methods.students.student import DIRECT
from workflow_scripts.report.cells import (
    ADJUSTED,
    EXCESS,
    FEW,
    GROUP,
    KEY,
    LEAST_EFFECTIVE,
    P_VALUE,
    PLACEBO_P_VALUE,
    CellRow,
    interval_text,
)
from workflow_scripts.report.p_values import larger_p, written

MOST_ROWS = 60
TABLE_WIDTH = 108
"""Terminals narrower than this get a few lines a cell in place of a table."""
VARIANTS_WIDTH = 128
"""The same where students have a column."""

COLUMNS = (
    *KEY,
    "pairs",
    "groups",
    "threshold",
    "accuracy_weak",
    "accuracy_weak_to_strong",
    "accuracy_strong",
    "performance_gap_recovered_weak_to_strong",
    "conflict_tax_count",
    "conflict_tax_rate",
    "deception_score",
    "deception_score_low",
    "deception_score_high",
    "effective_tax",
    EXCESS,
    P_VALUE,
    PLACEBO_P_VALUE,
    ADJUSTED,
)


class Summary:
    """Rows of the table of cells as something that `rich` prints at any width."""

    def __init__(self, rows: Sequence[CellRow]) -> None:
        self.rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = self.rows[:MOST_ROWS]
        for (target, scenario), group in groupby(shown, key=lambda row: _names(row)[:2]):
            rows = list(group)
            yield Text(f"\n{target}, {scenario}", style="bold") + Text(f"  {_scope(rows)}", "dim")
            variants = any(row["student"] != DIRECT for row in rows)
            if options.max_width >= (VARIANTS_WIDTH if variants else TABLE_WIDTH):
                yield _table(rows, variants)
            else:
                yield from _lines(rows)
        if more := len(self.rows) - len(shown):
            yield Text(f"\n{more:,} more in cells.csv", style="bold")
        yield Text(
            "\nAccuracies: weak ceiling, student (w2s), strong ceiling. PGR: performance gap "
            "recovered. Tax: pairs that the conflict cost. DS: share of the tax that the strong "
            "one knows and the weak one doesn't. Excess: DS less that share among the pairs that "
            "the student without conflict had right, as sure and as long; p: would a tax that fell "
            "blindly on these do as much, or a second student without conflict? adj. p: adjusted "
            f"over the target's cells (Benjamini and Hochberg). {FEW}: the tax counts as fewer "
            f"than {LEAST_EFFECTIVE} independent pairs, too few for an interval. -: undefined, "
            "the cell's probe gives the reason.",
            style="dim",
        )


def _names(row: CellRow) -> tuple[str, ...]:
    return tuple(row[name] for name in GROUP)


def _scope(rows: Sequence[CellRow]) -> str:
    pairs = {row["pairs"] for row in rows}
    threshold = ", ".join(f"{value:g}" for value in sorted({row["threshold"] for row in rows}))
    groups = {row["groups"] for row in rows}
    of_both = [
        f"{min(found):,}" if len(found) == 1 else f"{min(found):,} to {max(found):,}"
        for found in (pairs, groups)
    ]
    counts = of_both[0] if pairs == groups else " test pairs in ".join(of_both)
    what = "test pairs" if pairs == groups else "groups"
    return f"{counts} {what}, known at confidence {threshold}"


def _table(rows: Sequence[CellRow], variants: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("weak → strong", overflow="fold")
    table.add_column("conflict", overflow="fold")
    if variants:
        longest = max(len(row["student"]) for row in rows)
        table.add_column("student", overflow="fold", min_width=min(longest, 16))
    table.add_column("seed", justify="right")
    for name in ("weak", "w2s", "strong", "PGR", "tax", "", "DS", "95 %", "excess", "p", "adj. p"):
        table.add_column(name, justify="right", no_wrap=True)
    previous: tuple[str, ...] = ()
    for row in rows:
        pair = (row["weak"], row["strong"])
        table.add_row(
            " → ".join(pair) if pair != previous else "",
            row["conflict"],
            *((row["student"],) if variants else ()),
            str(row["seed"]),
            *_cell(row),
        )
        previous = pair
    return table


def _lines(rows: Sequence[CellRow]) -> Iterator[Text]:
    for row in rows:
        weak, student, strong, pgr, count, rate, score, interval, excess, p, adjusted = _cell(row)
        variant = "" if row["student"] == DIRECT else f", {row['student']}"
        yield Text(
            f"{row['weak']} → {row['strong']}, {row['conflict']}{variant}, seed {row['seed']}"
        )
        yield Text(f"  weak {weak}, w2s {student}, strong {strong}")
        yield Text(f"  PGR {pgr}, tax {count} {rate}")
        yield Text(f"  DS {' '.join(filter(None, (score, interval)))}")
        yield Text(f"  excess {excess}, p {p}, adj. {adjusted}")


def _cell(row: CellRow) -> list[str]:
    """Return the columns of a row after its names."""
    return [
        _number(row["accuracy_weak"], ".3f"),
        _number(row["accuracy_weak_to_strong"], ".3f"),
        _number(row["accuracy_strong"], ".3f"),
        _number(row["performance_gap_recovered_weak_to_strong"], ".2f"),
        _number(row["conflict_tax_count"], ",g"),
        f"({_number(row['conflict_tax_rate'], '.1%')})",
        _number(row["deception_score"], ".2f"),
        interval_text(row, "deception_score"),
        _number(row[EXCESS], "+z.2f"),
        written(larger_p(row)),
        written(row[ADJUSTED]),
    ]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
