"""Figure: DS and b against the least confidence at which a model counts as knowing."""

import math
import re
from collections.abc import Sequence
from itertools import cycle
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow_scripts.report.cells import EXCESS, CellRow
from workflow_scripts.report.figures.panels import add_legend, scenario_panels
from workflow_scripts.report.figures.style import CONFLICT_STYLES, LINES, notice
from workflow_scripts.report.selection import (
    ModelPair,
    by_cell,
    conflict_order,
    count,
    distinct,
    most_seeds,
    ordered_pairs,
    seed_counts,
)

Style = tuple[str, str]
"""Colour and marker."""

MOST_LINES = 12
"""Lines in a panel that a legend can name."""
SWEPT = re.compile(r"deception_score_at_(0\.\d+)")


def draw(rows: Sequence[CellRow]) -> Figure:
    """Return a panel a scenario: a line a cell, DS at each threshold of the sweep, and b thinly."""
    swept = sorted(
        {float(found[1]) for row in rows for name in row if (found := SWEPT.fullmatch(name))}
    )
    cells = [row for row in rows if row["conflict"] != "none"]
    drawn = [row for row in cells if any(row[_column(at)] is not None for at in swept)]
    if not drawn or len(swept) < 2:
        return notice("no deception score at two thresholds or more")
    scenarios, conflicts, pairs = (
        distinct(drawn, "scenario"),
        conflict_order(drawn),
        ordered_pairs(drawn),
    )
    figure, panels = scenario_panels(scenarios, 2)
    crowded = len(pairs) * len(distinct(drawn, "conflict")) > MOST_LINES
    for scenario, panel in panels.items():
        for conflict, style in zip(conflicts, cycle(CONFLICT_STYLES), strict=False):
            kind = (scenario, conflict)
            kind_rows = [row for row in drawn if (row["scenario"], row["conflict"]) == kind]
            if crowded:
                _draw_mean(panel, kind_rows, swept, style)
            else:
                _draw_lines(panel, kind_rows, swept, style, pairs)
        panel.axvline(drawn[0]["threshold"], color="#999999", linewidth=0.8, linestyle=":")
    panels[scenarios[0]].set_ylim(-0.03, 1.03)
    figure.supylabel("deception score (DS)", fontsize=8)
    add_legend(figure)
    over = f"; mean over {seed_counts(drawn)}" if most_seeds(drawn) > 1 else ""
    number = count([row["pairs"] for row in drawn])
    figure.supxlabel(
        "threshold: least confidence in the true choice of a model that knows\n"
        f"(0.5: right; vertical: the probe's); n = {number} test pairs{over}\n"
        "grey: b, the DS of a tax that falls blindly within strata"
        + ("\nfaint: one (weak, strong) pair; bold: mean over pairs" if crowded else ""),
        fontsize=8,
    )
    return figure


def _column(threshold: float) -> str:
    return f"deception_score_at_{threshold:g}"


def _draw_lines(
    panel: Axes,
    rows: Sequence[CellRow],
    swept: Sequence[float],
    style: Style,
    pairs: Sequence[ModelPair],
) -> None:
    """Draw a line a cell, named in the legend."""
    colour, marker = style
    for group in by_cell(rows):
        place = pairs.index((group[0]["weak"], group[0]["strong"]))
        panel.plot(
            swept,
            _means(group, swept),
            color=colour,
            marker=marker,
            linestyle=LINES[place % len(LINES)],
            linewidth=1,
            markersize=2.5,
            label="{weak} → {strong}, {conflict}".format(**group[0]),
        )
        _draw_blind(panel, group, swept, LINES[place % len(LINES)])


def _draw_mean(panel: Axes, rows: Sequence[CellRow], swept: Sequence[float], style: Style) -> None:
    """Draw the cells faintly and their mean boldly, since many lines cannot be distinguished."""
    colour, marker = style
    for group in by_cell(rows):
        panel.plot(swept, _means(group, swept), color=colour, linewidth=0.4, alpha=0.4)
    if rows:
        panel.plot(
            swept,
            _means(rows, swept),
            color=colour,
            marker=marker,
            linewidth=1.5,
            markersize=3.5,
            label=rows[0]["conflict"],
        )
        _draw_blind(panel, rows, swept, ":")


def _draw_blind(panel: Axes, rows: Sequence[CellRow], swept: Sequence[float], line: str) -> None:
    """Draw b, DS less the excess, of a (weak, strong) pair: it hardly differs by conflict."""
    excesses = _means(rows, swept, EXCESS)
    blind = [score - excess for score, excess in zip(_means(rows, swept), excesses, strict=True)]
    panel.plot(swept, blind, color="#999999", linewidth=0.8, linestyle=line, zorder=1)


def _means(
    rows: Sequence[CellRow], swept: Sequence[float], figure: str = "deception_score"
) -> list[float]:
    """Return a figure's mean at each threshold, over the rows that have a score; NaN without."""
    defined = (
        [row[f"{figure}_at_{at:g}"] for row in rows if row[_column(at)] is not None] for at in swept
    )
    return [fmean(values) if values else math.nan for values in defined]
