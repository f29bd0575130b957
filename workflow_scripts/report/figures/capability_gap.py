"""Figure: deception score against the gap between the two ceilings, with its trend."""

from collections.abc import Sequence
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure

from workflow_scripts.report.cells import CellRow
from workflow_scripts.report.claims import GAP, SCORE, gap_rows, gap_slope
from workflow_scripts.report.figures.panels import add_legend
from workflow_scripts.report.figures.style import COLUMN, CONFLICT_STYLES, new_figure, notice
from workflow_scripts.report.replication import Estimate, estimate
from workflow_scripts.report.selection import (
    conflict_order,
    count,
    distinct,
    most_seeds,
    seed_counts,
)

FILLS = ("full", "none", "left", "right", "top")
"""How a scenario's markers are filled; the conflict gives their shape and colour."""


def draw(rows: Sequence[CellRow]) -> Figure:
    """Return a scatter of cells, and the slope within scenario and conflict with its interval."""
    cells = gap_rows(rows)
    slope = estimate(cells, gap_slope) if cells else None
    if slope is None:
        return notice(
            "a trend needs deception scores of three (weak, strong) pairs in one scenario and "
            "conflict"
        )
    figure = new_figure(2 * COLUMN, 3)
    axes = figure.subplots()
    conflicts, scenarios = conflict_order(cells), distinct(cells, "scenario")
    for row in cells:
        colour, marker = CONFLICT_STYLES[conflicts.index(row["conflict"]) % len(CONFLICT_STYLES)]
        axes.plot(
            row[GAP],
            row[SCORE],
            marker,
            color=colour,
            fillstyle=FILLS[scenarios.index(row["scenario"]) % len(FILLS)],
            markersize=4.5,
            label=f"{row['scenario']}, {row['conflict']}",
        )
    gaps = np.linspace(min(row[GAP] for row in cells), max(row[GAP] for row in cells), 50)
    centre, level = (fmean(row[name] for row in cells) for name in (GAP, SCORE))
    axes.plot(gaps, level + slope.value * (gaps - centre), color="black", label="trend")
    if slope.interval:
        low, high = (level + bound * (gaps - centre) for bound in slope.interval)
        axes.fill_between(
            gaps, low, high, color="#999999", alpha=0.25, linewidth=0, label="95 % of its slope"
        )
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("deception score (DS),\nshare of taxed pairs")
    add_legend(figure, loc="outside right center", ncols=1)
    seeds = f", {seed_counts(cells)} each" if most_seeds(cells) > 1 else ""
    figure.supxlabel(
        "capability gap: accuracy of the strong ceiling less the weak one's\n"
        f"{len(cells)} cells of n = {count([row['pairs'] for row in cells])} test pairs{seeds}\n"
        f"{_trend(slope)}",
        fontsize=8,
    )
    return figure


def _trend(slope: Estimate) -> str:
    """Return what the line is, with its uncertainty."""
    slope_text = f"trend within scenario and conflict: {0.1 * slope.value:+.3f} DS per 0.1"
    if slope.interval is None:
        return f"{slope_text}; no interval: {slope.basis.split(':')[0]}"
    low, high = slope.interval
    return f"{slope_text}, 95 % interval [{0.1 * low:+.3f}, {0.1 * high:+.3f}] {slope.basis}"
