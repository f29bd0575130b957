"""Figure: deception in excess of a blind tax, by weak and strong model."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from workflow_scripts.report.cells import CellRow
from workflow_scripts.report.figures.heat_map import HeatMap, draw_heat_map

EXCESS = HeatMap(
    column="excess_deception_difference",
    short="excess",
    label="excess deception",
    meaning="excess: DS less what a tax that fell blindly would give",
    colours="PuOr_r",
    scale=(-0.5, 0.5),
    form="+z.2f",
)


def draw(rows: Sequence[CellRow]) -> Figure:
    """Return a heat map, weak by strong, a scenario and conflict: excess and number taxed."""
    return draw_heat_map(rows, EXCESS)
