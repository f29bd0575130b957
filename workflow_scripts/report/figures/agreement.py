"""Cells as points between two measurements of one score: on the line, the two agree."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from workflow_scripts.report.cells import CellRow
from workflow_scripts.report.figures.style import CONFLICT_STYLES

Measured = tuple[CellRow, str]
"""A row and the column of its score."""

MOST_BARS = 60
"""Cells above which intervals would hide the points."""


def draw_agreement(
    panel: Axes,
    points: Sequence[tuple[Measured, Measured]],
    conflicts: Sequence[str],
    on_line: str,
    bars: bool,
) -> None:
    """Draw each cell's second score against its first.

    Args:
        panel: where to draw.
        points: the two scores of each cell.
        conflicts: all conflicts in order, for each to keep its style.
        on_line: what a point on the diagonal means.
        bars: whether to draw the intervals of both scores.
    """
    panel.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=":", label=on_line)
    for (row, column), (other, other_column) in points:
        colour, marker = CONFLICT_STYLES[conflicts.index(row["conflict"]) % len(CONFLICT_STYLES)]
        x, y = row[column], other[other_column]
        panel.plot(
            x,
            y,
            marker,
            color=colour,
            markersize=4 if bars else 3,
            alpha=1 if bars else 0.6,
            label=row["conflict"],
        )
        style = {"color": colour, "linewidth": 0.6, "alpha": 0.6}
        if bars and row[f"{column}_low"] is not None:
            panel.hlines(y, row[f"{column}_low"], row[f"{column}_high"], **style)
        if bars and other[f"{other_column}_low"] is not None:
            panel.vlines(x, other[f"{other_column}_low"], other[f"{other_column}_high"], **style)
    panel.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")


def has_bars(cells: Sequence[object]) -> bool:
    """Return whether the number of cells leaves room for intervals."""
    return len(cells) <= MOST_BARS


def bars_are(bars: bool) -> str:
    """Return what the bars are, or that there are none."""
    return "bars: 95 % over pairs" if bars else "too many to draw their intervals"
