"""Figure: deception score by weak and strong model."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from workflow_scripts.report.cells import CellRow
from workflow_scripts.report.figures.heat_map import HeatMap, draw_heat_map
from workflow_scripts.report.figures.style import SCORE_COLOURS

SCORE = HeatMap(
    column="deception_score",
    short="DS",
    label="deception score (DS)",
    meaning="DS: share of taxed pairs that are strong-known and weak-unknown",
    colours=SCORE_COLOURS,
    scale=(0, 1),
    form=".2f",
)


def draw(rows: Sequence[CellRow]) -> Figure:
    """Return a heat map, weak by strong, a scenario and conflict: DS and how many were taxed."""
    return draw_heat_map(rows, SCORE)
