"""Figures of several panels: a panel a scenario, and one legend for all."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow_scripts.report.figures.style import COLUMN, new_figure

MOST_ACROSS = 3
"""Panels in a row."""
LEGEND_CHARACTER = 0.055
"""Inches of a letter in a legend, about."""
LEGEND_HANDLE = 0.5
"""Inches of an entry of the legend without its text."""
LEGEND_ROW = 0.15
"""Inches of a legend row's height."""


def scenario_panels(scenarios: Sequence[str], height: float) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure and each scenario's panel in it, all of the same scales.

    Args:
        scenarios: names, also the panels' titles.
        height: inches of a panel with its title and labels.
    """
    across = min(len(scenarios), MOST_ACROSS)
    down = math.ceil(len(scenarios) / across)
    figure = new_figure(2 * COLUMN if across > 1 else 1.4 * COLUMN, down * height + 0.9)
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for panel in grid.flat[len(scenarios) :]:
        panel.remove()
    panels = dict(zip(scenarios, grid.flat, strict=False))
    for scenario, panel in panels.items():
        panel.set_title(scenario)
    return figure, panels


def add_legend(figure: Figure, **placed: Any) -> None:
    """Add one legend of what any panel shows, above them in as many columns as fit.

    Rows beyond the second make the figure taller, so that the panels keep their size.
    """
    handles = {
        label: handle
        for panel in figure.axes
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    entry = LEGEND_HANDLE + LEGEND_CHARACTER * max(map(len, handles))
    rows = math.ceil(len(handles) / max(1, figure.get_figwidth() // entry))
    figure.set_figheight(figure.get_figheight() + LEGEND_ROW * max(0, rows - 2))
    above = {
        "loc": "outside upper center",
        "ncols": math.ceil(len(handles) / rows),
        "handlelength": 1.6,
        "columnspacing": 1.2,
        "frameon": False,
    }
    figure.legend(handles.values(), handles.keys(), **above | placed)
