"""Figure: accuracy of each student between its ceilings."""

from collections.abc import Sequence
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow_scripts.report.cells import CellRow
from workflow_scripts.report.figures.panels import add_legend, scenario_panels
from workflow_scripts.report.figures.style import CEILING_COLOURS, CONFLICT_STYLES, notice
from workflow_scripts.report.over_seeds import over_seeds
from workflow_scripts.report.selection import (
    ModelPair,
    count,
    distinct,
    most_seeds,
    ordered_pairs,
    seed_counts,
)

CEILINGS = {"weak": "accuracy_weak", "strong": "accuracy_strong"}
STUDENT = "accuracy_weak_to_strong"

LINE_HEIGHT = 0.14
"""Inches of a student's line."""
TALL = 12
"""Pairs above which the scale is repeated at the top."""


def draw(rows: Sequence[CellRow]) -> Figure:
    """Return a panel a scenario: each student's accuracy between its two ceilings."""
    if not rows:
        return notice("no cell of this target was run")
    scenarios, conflicts = distinct(rows, "scenario"), distinct(rows, "conflict")
    pairs = ordered_pairs(rows)
    height = len(pairs) * (len(conflicts) + 1) * LINE_HEIGHT
    figure, panels = scenario_panels(scenarios, height + 0.4)
    for scenario, panel in panels.items():
        scenario_rows = [row for row in rows if row["scenario"] == scenario]
        _draw_panel(panel, scenario_rows, pairs, conflicts)
    first = panels[scenarios[0]]
    first.set_yticks(range(len(pairs)), [" → ".join(pair) for pair in pairs])
    first.set_ylim(len(pairs) - 0.5, -0.5)
    add_legend(figure)
    number = count([row["pairs"] for row in rows])
    figure.supxlabel(f"accuracy, share of n = {number} test pairs\n{_bars(rows)}", fontsize=8)
    return figure


def _draw_panel(
    panel: Axes, rows: Sequence[CellRow], pairs: Sequence[ModelPair], conflicts: Sequence[str]
) -> None:
    panel.grid(axis="x", color="#dddddd", linewidth=0.5)
    panel.tick_params(axis="y", length=0)
    panel.tick_params(axis="x", labeltop=len(pairs) > TALL)
    panel.axvline(0.5, color="#999999", linewidth=0.8, linestyle=":", label="chance")
    rule, accuracy = rows[0]["length_rule"], rows[0]["length_accuracy"]
    label = f"the {rule} response wins"
    panel.axvline(accuracy, color="#999999", linewidth=0.8, linestyle="-.", label=label)
    for place, pair in enumerate(pairs):
        if place % 2:
            panel.axhspan(place - 0.5, place + 0.5, color="#f4f4f4", linewidth=0, zorder=0)
        pair_rows = [row for row in rows if (row["weak"], row["strong"]) == pair]
        for model, column in CEILINGS.items() if pair_rows else ():
            panel.vlines(
                fmean({row["seed"]: row[column] for row in pair_rows}.values()),
                place - 0.42,
                place + 0.42,
                color=CEILING_COLOURS[model],
                linestyle="--" if model == "weak" else "-",
                linewidth=1.5,
                label=f"{model} ceiling",
            )
        for index, conflict in enumerate(conflicts):
            cell_rows = [row for row in pair_rows if row["conflict"] == conflict]
            value, low, high = _student(cell_rows)
            if value is None:
                continue
            colour, marker = CONFLICT_STYLES[index % len(CONFLICT_STYLES)]
            offset = (index - (len(conflicts) - 1) / 2) / (len(conflicts) + 1)
            panel.plot(
                value,
                place + offset,
                marker,
                color=colour,
                markersize=3.5,
                label=f"student, {conflict}",
            )
            if low is not None and high is not None:
                panel.hlines(place + offset, low, high, color=colour, linewidth=1)


def _student(rows: Sequence[CellRow]) -> tuple[float | None, float | None, float | None]:
    """Return a student's accuracy and its interval: over test pairs, or over several seeds."""
    if len(rows) == 1:
        (row,) = rows
        return row[STUDENT], row[f"{STUDENT}_low"], row[f"{STUDENT}_high"]
    return over_seeds(rows, STUDENT)


def _bars(rows: Sequence[CellRow]) -> str:
    """Return what the bars are."""
    if most_seeds(rows) == 1:
        return "bars: 95 % interval over groups of test pairs; a single seed"
    return f"mean over {seed_counts(rows)}; bars: 95 % interval over seeds and test pairs"
