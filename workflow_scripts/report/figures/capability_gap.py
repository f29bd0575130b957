"""Figure: DS, b and excess against the gap between the two ceilings, with their trends."""

from collections.abc import Sequence
from statistics import fmean

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow_scripts.report.cells import BLIND, EXCESS, SCORE, CellRow
from workflow_scripts.report.claims import GAP, gap_rows, gap_slopes
from workflow_scripts.report.figures.panels import add_legend
from workflow_scripts.report.figures.style import COLUMN, CONFLICT_STYLES, new_figure, notice
from workflow_scripts.report.replication import Estimate
from workflow_scripts.report.selection import (
    conflict_order,
    count,
    distinct,
    most_seeds,
    seed_counts,
)

FILLS = ("full", "none", "left", "right", "top")
"""How a scenario's markers are filled; the conflict gives their shape and colour."""
BLIND_COLOUR = "#777777"
BLIND_LABEL = "b: DS of a blind tax"


def draw(rows: Sequence[CellRow]) -> Figure:
    """Return two scatters of cells: DS with b, and the excess, each with its slope."""
    cells = gap_rows(rows)
    slopes = gap_slopes(cells)
    excess = slopes[EXCESS]
    if excess is None:
        return notice(
            "a trend needs deception scores of three (weak, strong) pairs in one scenario and "
            "conflict"
        )
    figure = new_figure(2 * COLUMN, 3.2)
    scores, excesses = figure.subplots(1, 2)
    for row in cells:
        scores.plot(row[GAP], row[BLIND], "_", color=BLIND_COLOUR, markersize=6, label=BLIND_LABEL)
    _draw_cells(scores, cells, SCORE)
    _draw_cells(excesses, cells, EXCESS)
    _draw_trend(scores, cells, SCORE, slopes[SCORE], "black")
    _draw_trend(scores, cells, BLIND, slopes[BLIND], BLIND_COLOUR, "--")
    _draw_trend(excesses, cells, EXCESS, excess, "black")
    excesses.axhline(0, color=BLIND_COLOUR, linewidth=0.8, linestyle=":")
    scores.set_ylim(-0.03, 1.03)
    scores.set_ylabel("deception score (DS),\nshare of taxed pairs")
    excesses.set_ylabel("excess: DS less b")
    add_legend(figure)
    seeds = f", {seed_counts(cells)} each" if most_seeds(cells) > 1 else ""
    figure.supxlabel(
        "capability gap: accuracy of the strong ceiling less the weak one's\n"
        f"{len(cells)} cells of n = {count([row['pairs'] for row in cells])} test pairs{seeds}\n"
        "trends within scenario and conflict, per 0.1: "
        f"DS {_change(slopes[SCORE])} = b {_change(slopes[BLIND])} + excess {_change(excess)}"
        f"\n{_interval(excess)}",
        fontsize=8,
    )
    return figure


def _draw_cells(axes: Axes, cells: Sequence[CellRow], column: str) -> None:
    conflicts, scenarios = conflict_order(cells), distinct(cells, "scenario")
    for row in cells:
        colour, marker = CONFLICT_STYLES[conflicts.index(row["conflict"]) % len(CONFLICT_STYLES)]
        axes.plot(
            row[GAP],
            row[column],
            marker,
            color=colour,
            fillstyle=FILLS[scenarios.index(row["scenario"]) % len(FILLS)],
            markersize=4.5,
            label=f"{row['scenario']}, {row['conflict']}",
        )


def _draw_trend(
    axes: Axes,
    cells: Sequence[CellRow],
    column: str,
    slope: Estimate | None,
    colour: str,
    line: str = "-",
) -> None:
    """Draw a slope through the cells' middle, and that of the excess with its interval."""
    if slope is None:
        return
    gaps = np.linspace(min(row[GAP] for row in cells), max(row[GAP] for row in cells), 50)
    centre, level = (fmean(row[name] for row in cells) for name in (GAP, column))
    label = "trend of b" if column == BLIND else "trend"
    axes.plot(
        gaps, level + slope.value * (gaps - centre), color=colour, linestyle=line, label=label
    )
    if slope.interval and column == EXCESS:
        low, high = (level + bound * (gaps - centre) for bound in slope.interval)
        axes.fill_between(
            gaps, low, high, color="#999999", alpha=0.25, linewidth=0, label="95 % of its slope"
        )


def _change(slope: Estimate | None) -> str:
    return "-" if slope is None else f"{0.1 * slope.value:+z.3f}"


def _interval(slope: Estimate) -> str:
    """Return the uncertainty of the excess's slope."""
    if slope.interval is None:
        return f"no interval: {slope.basis.split(':')[0]}"
    low, high = slope.interval
    return f"excess: 95 % interval [{0.1 * low:+z.3f}, {0.1 * high:+z.3f}] {slope.basis}"
