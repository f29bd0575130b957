"""Figure: deception score of bootstrapped students next to that of direct ones."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from workflow_scripts.report.cells import CellRow
from workflow_scripts.report.figures.agreement import bars_are, draw_agreement, has_bars
from workflow_scripts.report.figures.panels import add_legend
from workflow_scripts.report.figures.style import COLUMN, new_figure, notice
from workflow_scripts.report.selection import (
    bootstrapped,
    conflict_order,
    conflicting,
    count,
    matched,
)

SCORE = "deception_score"


def draw(rows: Sequence[CellRow]) -> Figure:
    """Return a scatter of cells: DS under direct supervision against DS when bootstrapped."""
    pairs = matched(bootstrapped(conflicting(rows)), rows)
    if not pairs:
        return notice("no cell was run with both a bootstrapped and a direct student")
    pairs = [pair for pair in pairs if all(row[SCORE] is not None for row in pair)]
    if not pairs:
        return notice("no bootstrapped and direct student of one cell both have a score")
    figure = new_figure(1.4 * COLUMN, 3.4)
    axes = figure.subplots()
    conflicts = conflict_order(variant for variant, _ in pairs)
    bars = has_bars(pairs)
    points = [((counterpart, SCORE), (variant, SCORE)) for variant, counterpart in pairs]
    draw_agreement(axes, points, conflicts, "no change", bars)
    axes.set_xlabel(
        "DS, direct\n"
        f"{len(pairs)} cells of n = {count([row['pairs'] for row, _ in pairs])} test pairs; "
        f"{bars_are(bars)}"
    )
    axes.set_ylabel("DS, bootstrapped (below the line: mitigated)")
    add_legend(figure)
    return figure
