"""Figure: deception in excess of a stratified blind tax, by weak and strong model."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from workflow_scripts.report.cells import EXCESS as EXCESS_COLUMN
from workflow_scripts.report.cells import PLACEBO, CellRow
from workflow_scripts.report.figures.heat_map import HeatMap, draw_heat_map

EXCESS = HeatMap(
    column=EXCESS_COLUMN,
    short="excess",
    label="excess deception",
    meaning="excess: DS less what a tax that fell blindly within strata would give",
    colours="PuOr_r",
    scale=(-0.5, 0.5),
    form="+z.2f",
    beside=PLACEBO,
    beside_meaning="(placebo: the excess of a second student without conflict)",
)


def draw(rows: Sequence[CellRow]) -> Figure:
    """Return a heat map, weak by strong, a scenario and conflict: excess, placebo, pairs taxed."""
    return draw_heat_map(rows, EXCESS)
