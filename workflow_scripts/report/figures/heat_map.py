"""A heat map, weak by strong model, a scenario and conflict: one figure of the cells."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from workflow_scripts.report.cells import CellRow, by_strength
from workflow_scripts.report.figures.style import COLUMN, new_figure, notice
from workflow_scripts.report.selection import (
    by_cell,
    count,
    distinct,
    most_seeds,
    ordered_pairs,
    seed_counts,
)

TAX = "conflict_tax_count"

CELL_WIDTH = (0.29, 0.9)
"""Least and most inches of a cell; below the least its text isn't legible."""
CELL_HEIGHT = 0.45
"""Most inches of a cell's height."""
BESIDE_WIDTH = 0.55
"""Least inches of a cell that has a third line."""
LINE = 0.12
"""Inches of a third line in a cell."""
CHARACTER = 0.065
"""Inches of a letter of a tick label, about."""
TITLE_WIDTH = 1.2
"""Least inches of a panel, for its title."""
MARGINS = 1.6
"""Inches next to the panels, for the weak models' names and the colour scale."""


@dataclass(frozen=True)
class HeatMap:
    """What a heat map shows.

    Attributes:
        column: the figure's column in the table of cells.
        short: its name.
        label: its name and unit, next to the colour scale.
        meaning: its definition.
        colours: name of a colour map.
        scale: least and most value of the colour map.
        form: how a value is written in its cell.
        beside: column of what is written next to it in brackets: a value, or its range over seeds.
        beside_meaning: what that is; empty for nothing.
    """

    column: str
    short: str
    label: str
    meaning: str
    colours: str
    scale: tuple[float, float]
    form: str
    beside: str = ""
    beside_meaning: str = ""


def draw_heat_map(rows: Sequence[CellRow], shown: HeatMap) -> Figure:
    """Return a panel a scenario and conflict: the figure, and how many pairs were taxed."""
    conflicting = [row for row in rows if row["conflict"] != "none"]
    if not conflicting:
        return notice("no cell of this target has a conflict")
    if all(row[shown.column] is None for row in conflicting):
        return notice("no pair was taxed in any cell, so no deception score exists")
    pairs = ordered_pairs(conflicting)
    weaks = list(dict.fromkeys(weak for weak, _ in pairs))
    strongs = by_strength({strong for _, strong in pairs}, pairs)
    scenarios, conflicts = distinct(conflicting, "scenario"), distinct(conflicting, "conflict")

    room = 2 * COLUMN - MARGINS
    least = max(len(strongs) * CELL_WIDTH[0], TITLE_WIDTH)
    across = max(1, min(len(conflicts), int(room / least)))
    cell = min(room / across / len(strongs), CELL_WIDTH[1])
    rows_of_panels = math.ceil(len(conflicts) / across)
    down = len(scenarios) * rows_of_panels
    has_third = cell >= BESIDE_WIDTH and any(_beside([row], shown) for row in conflicting)
    cell_height = min(cell, CELL_HEIGHT) + (LINE if has_third else 0)
    panel_height = len(weaks) * cell_height + 1.05
    figure = new_figure(
        MARGINS + max(across * len(strongs) * cell, COLUMN), down * panel_height + 0.9
    )
    grid = figure.subplots(down, across, sharey=True, squeeze=False)
    for panel in grid.flat:
        panel.set_visible(False)
    for row_of_scenario, scenario in enumerate(scenarios):
        first = row_of_scenario * rows_of_panels * across
        for panel, conflict in zip(grid.flat[first:], conflicts, strict=False):
            kind = (scenario, conflict)
            kind_rows = [row for row in conflicting if (row["scenario"], row["conflict"]) == kind]
            _draw_panel(panel, kind_rows, shown, weaks, strongs, cell)
            panel.set(title="\n".join(kind), visible=True)
    figure.supylabel("weak model", fontsize=8)
    figure.supxlabel(f"strong model\n{_caption(conflicting, shown)}", fontsize=8)
    figure.colorbar(
        ScalarMappable(Normalize(*shown.scale), shown.colours),
        ax=grid,
        label=shown.label,
        shrink=min(1, 2 / (down * panel_height)),
        aspect=15,
    )
    return figure


def _caption(rows: Sequence[CellRow], shown: HeatMap) -> str:
    pairs, groups = (count([row[name] for row in rows]) for name in ("pairs", "groups"))
    number = pairs if pairs == groups else f"{pairs} in {groups} groups"
    lines = [
        shown.meaning,
        f"upper figure: {shown.short}; lower: pairs taxed, of n = {number}; hatched: none taxed",
    ]
    beside = [row[shown.beside] for row in rows if row.get(shown.beside) is not None]
    if beside:
        least, most = (f"{end:{shown.form}}" for end in (min(beside), max(beside)))
        lines.append(f"{shown.beside_meaning}: {least} to {most} in all")
    if most_seeds(rows) > 1:
        lines.append(f"over {seed_counts(rows)}: mean {shown.short}, sum of pairs taxed")
    return "\n".join(lines)


def _beside(rows: Sequence[CellRow], shown: HeatMap) -> str:
    """Return what stands below the figure: in brackets, a value or its range; empty without any."""
    found = [row[shown.beside] for row in rows if row.get(shown.beside) is not None]
    if not found:
        return ""
    ends = dict.fromkeys(f"{end:{shown.form}}" for end in (min(found), max(found)))
    return f"\n({'…'.join(ends)})"


def _draw_panel(
    panel: Axes,
    rows: Sequence[CellRow],
    shown: HeatMap,
    weaks: Sequence[str],
    strongs: Sequence[str],
    cell: float,
) -> None:
    panel.set_xlim(-0.5, len(strongs) - 0.5)
    panel.set_ylim(len(weaks) - 0.5, -0.5)
    panel.set_xticks(range(len(strongs)), strongs)
    if max(map(len, strongs)) * CHARACTER > cell:
        # Upright, since slanted names reach into the next panel and make its cells smaller.
        panel.tick_params(axis="x", rotation=90)
    panel.set_yticks(range(len(weaks)), weaks)
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    for group in by_cell(rows):
        x, y = strongs.index(group[0]["strong"]), weaks.index(group[0]["weak"])
        values = [row[shown.column] for row in group if row[shown.column] is not None]
        corner = (x - 0.48, y - 0.48)
        if not values:
            panel.add_patch(
                Rectangle(corner, 0.96, 0.96, facecolor="white", edgecolor="#999999", hatch="////")
            )
            continue
        scaled = Normalize(*shown.scale, clip=True)(fmean(values))
        red, green, blue, _ = colour = colormaps[shown.colours](float(scaled))
        luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        panel.add_patch(Rectangle(corner, 0.96, 0.96, facecolor=colour))
        panel.text(
            x,
            y,
            f"{fmean(values):{shown.form}}{_beside(group, shown) if cell >= BESIDE_WIDTH else ''}\n"
            f"{sum(row[TAX] for row in group):,g}",
            ha="center",
            va="center",
            fontsize=7 if cell > 0.4 else 5,
            color="black" if luminance > 0.45 else "white",
        )
