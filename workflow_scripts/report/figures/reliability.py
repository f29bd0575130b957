"""Figure: how often models are right at each confidence in the response they prefer."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow_scripts.report.cells import KEY, CellRow
from workflow_scripts.report.figures.panels import add_legend, scenario_panels
from workflow_scripts.report.figures.style import CEILING_COLOURS, CONFLICT_STYLES, notice
from workflow_scripts.report.selection import conflict_order, count, distinct

LEAST_PAIRS = 20
"""Bins with fewer pairs, over all cells, are not drawn."""


def draw(rows: Sequence[CellRow]) -> Figure:
    """Return a panel a scenario: share right against confidence, pairs of all cells pooled.

    Args:
        rows: of the table of bins.
    """
    if not any(row["pairs"] >= LEAST_PAIRS for row in rows):
        return notice(f"no confidence that {LEAST_PAIRS} pairs share")
    scenarios = distinct(rows, "scenario")
    conflicts = conflict_order(rows)
    figure, panels = scenario_panels(scenarios, 2.2)
    for scenario, panel in panels.items():
        panel.plot(
            [0.5, 1], [0.5, 1], color="#999999", linewidth=0.8, linestyle=":", label="as confident"
        )
        scenario_rows = [row for row in rows if row["scenario"] == scenario]
        for model, colour in CEILING_COLOURS.items():
            # A ceiling is part of several cells: count its pairs once.
            once = {
                (row[model], row["seed"], row["low"]): row
                for row in scenario_rows
                if row["model"] == model
            }
            _draw_line(panel, list(once.values()), f"{model} ceiling", colour, "")
        for place, conflict in enumerate(conflicts):
            colour, marker = CONFLICT_STYLES[place % len(CONFLICT_STYLES)]
            student_rows = [
                row
                for row in scenario_rows
                if (row["model"], row["conflict"]) == ("weak_to_strong", conflict)
            ]
            _draw_line(panel, student_rows, f"student, {conflict}", colour, marker)
    panels[scenarios[0]].set(xlim=(0.5, 1), ylim=(0, 1.03))
    figure.supylabel("share chosen rightly", fontsize=8)
    add_legend(figure)
    pairs: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        pairs[*(row[name] for name in (*KEY, "model"))] += row["pairs"]
    figure.supxlabel(
        "mean confidence in the preferred response\n"
        f"all cells of n = {count([*pairs.values()])} test pairs pooled; bins of {LEAST_PAIRS} or "
        "more",
        fontsize=8,
    )
    return figure


def _draw_line(panel: Axes, bins: Sequence[CellRow], label: str, colour: str, marker: str) -> None:
    points = []
    for low in sorted({row["low"] for row in bins}):
        inside = [row for row in bins if row["low"] == low]
        pairs = sum(row["pairs"] for row in inside)
        if pairs >= LEAST_PAIRS:
            points.append(
                [
                    sum(row[name] * row["pairs"] for row in inside) / pairs
                    for name in ("confidence", "correct")
                ]
            )
    if points:
        panel.plot(
            *zip(*points, strict=True),
            color=colour,
            marker=marker or None,
            markersize=3,
            linewidth=1,
            linestyle="-" if marker else "--",
            label=label,
        )
