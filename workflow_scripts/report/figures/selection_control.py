"""Figure: results on the weak-unknown pairs of the own and of a second weak model."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from workflow_scripts.report.cells import CellRow
from workflow_scripts.report.figures.agreement import bars_are, draw_agreement, has_bars
from workflow_scripts.report.figures.panels import add_legend
from workflow_scripts.report.figures.style import COLUMN, new_figure, notice
from workflow_scripts.report.selection import conflict_order, count

PANELS = {
    "student's accuracy on\nweak-unknown pairs": (
        "selection_control_accuracy",
        "selection_control_accuracy_control",
    ),
    "deception score (DS)": ("deception_score", "selection_control_score"),
}
"""Title, and the columns with the pairs picked by the own supervisor and by the control."""


def draw(rows: Sequence[CellRow]) -> Figure:
    """Return two scatters of cells: pairs picked by the second against by the own weak model."""
    controlled = [row for row in rows if row.get("selection_control_accuracy_control") is not None]
    if not controlled:
        return notice("the control needs a second weak model; add a seed to matrix.seeds for one")
    conflicts, bars = conflict_order(controlled), has_bars(controlled)
    figure = new_figure(2 * COLUMN, 3.4)
    panels = figure.subplots(1, 2)
    for panel, (title, (own, control)) in zip(panels, PANELS.items(), strict=True):
        points = [
            ((row, own), (row, control))
            for row in controlled
            if row[own] is not None and row[control] is not None
        ]
        draw_agreement(panel, points, conflicts, "no effect", bars)
        panel.set_title(title)
        panel.set_xlabel("pairs picked by the own supervisor")
    panels[0].set_ylabel("pairs picked by the second weak model")
    add_legend(figure)
    figure.supxlabel(
        f"{len(controlled)} cells of n = {count([row['pairs'] for row in controlled])} test pairs; "
        f"{bars_are(bars)}; off the line: an effect of who picked the pairs",
        fontsize=8,
    )
    return figure
