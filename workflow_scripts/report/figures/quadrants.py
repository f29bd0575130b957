"""Figure: who knew the pairs that a conflict taxed."""

from collections.abc import Sequence
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow_scripts.measures.deception import QUADRANTS
from workflow_scripts.report.cells import CellRow
from workflow_scripts.report.figures.panels import add_legend, scenario_panels
from workflow_scripts.report.figures.style import notice
from workflow_scripts.report.selection import (
    count,
    distinct,
    most_seeds,
    ordered_pairs,
    seed_counts,
)

# The deceptive quadrant stands out by colour and, for grey scale, by hatch.
STYLES = {
    "strong_known_weak_unknown": ("strong knows, weak doesn't", "#D55E00", "////"),
    "strong_known_weak_known": ("both know", "#0072B2", ""),
    "strong_unknown_weak_known": ("weak knows, strong doesn't", "#56B4E9", ""),
    "strong_unknown_weak_unknown": ("neither knows", "#cccccc", ""),
}
assert set(STYLES) == set(QUADRANTS)
BAR_HEIGHT = 0.15
"""Inches of a bar."""


def draw(rows: Sequence[CellRow]) -> Figure:
    """Return a panel a scenario: each cell's tax as a share of the test pairs, by quadrant."""
    cells = [row for row in rows if row["conflict"] != "none"]
    if not any(row["conflict_tax_count"] for row in cells):
        return notice("no pair was taxed in any cell")
    scenarios, conflicts = distinct(cells, "scenario"), distinct(cells, "conflict")
    bars = [(*pair, conflict) for pair in ordered_pairs(cells) for conflict in conflicts]
    height = len(bars) * BAR_HEIGHT + 0.5
    figure, panels = scenario_panels(scenarios, height)
    for scenario, panel in panels.items():
        _draw_panel(panel, [row for row in cells if row["scenario"] == scenario], bars)
    labels = [f"{weak} → {strong}, {conflict}" for weak, strong, conflict in bars]
    first = panels[scenarios[0]]
    first.set_yticks(range(len(bars)), labels, fontsize=6)
    first.set_ylim(len(bars) - 0.4, -0.6)
    add_legend(figure, ncols=2)
    number = count([row["pairs"] for row in cells])
    over = f"\nmean over {seed_counts(cells)}" if most_seeds(cells) > 1 else ""
    figure.supxlabel(f"conflict tax, share of n = {number} test pairs{over}", fontsize=8)
    return figure


def _draw_panel(panel: Axes, rows: Sequence[CellRow], bars: Sequence[tuple[str, str, str]]) -> None:
    panel.grid(axis="x", color="#dddddd", linewidth=0.5)
    panel.set_axisbelow(True)
    panel.tick_params(axis="y", length=0)
    left = [0.0] * len(bars)
    for quadrant, (label, colour, hatch) in STYLES.items():
        shares = [
            fmean(
                [
                    row[f"{quadrant}_tax"] / row["pairs"]
                    for row in rows
                    if (row["weak"], row["strong"], row["conflict"]) == bar
                ]
                or [0.0]
            )
            for bar in bars
        ]
        panel.barh(
            range(len(bars)),
            shares,
            0.7,
            left,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.3,
            label=label,
        )
        left = [start + share for start, share in zip(left, shares, strict=True)]
