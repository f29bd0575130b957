"""Figure: each of the paper's claims under every specification, as a curve."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow_scripts.report.cells import CellRow
from workflow_scripts.report.claims import SMALLEST_EFFECT
from workflow_scripts.report.figures.panels import add_legend
from workflow_scripts.report.figures.style import COLUMN, new_figure, notice
from workflow_scripts.report.specifications import (
    CLAIMS,
    NULLS,
    SCORES,
    Specification,
    specifications,
)

STANDS, FALLS = "#009E73", "#D55E00"
ROW = 0.13
"""Inches of a choice's line."""


def draw(rows: Sequence[CellRow]) -> Figure:
    """Return a curve a claim: its effect in each specification, sorted, above what was chosen."""
    found = specifications(rows)
    if not found:
        return notice("no excess at any threshold")
    claims = [claim for claim in CLAIMS if any(spec.claim == claim for spec in found)]
    choices = _choices(found)
    height = len(choices) * ROW
    figure = new_figure(2 * COLUMN, 1.5 + height + 0.9)
    grid = figure.subplots(2, len(claims), sharex="col", squeeze=False, height_ratios=(1.5, height))
    for place, claim in enumerate(claims):
        specs = sorted((s for s in found if s.claim == claim), key=lambda spec: spec.effect)
        _draw_curve(grid[0, place], specs)
        _draw_choices(grid[1, place], specs, choices)
        standing = sum(spec.stands for spec in specs)
        share = standing / len(specs)
        grid[0, place].set_title(f"{claim}\nstands in {standing} of {len(specs)} ({share:.0%})")
        grid[0, place].set_ylabel(CLAIMS[claim])
        grid[1, place].tick_params(axis="y", labelleft=place == 0)
    add_legend(figure)
    figure.supxlabel(
        "specifications, sorted: threshold, score, null and seed; stands: "
        f"{SMALLEST_EFFECT} or more,\n"
        "for the first claim in most cells with a 95 % interval above 0",
        fontsize=8,
    )
    return figure


def _choices(found: Sequence[Specification]) -> list[tuple[str, object]]:
    """Return every choice that was made both ways: what it is of, and its value."""
    thresholds = sorted({spec.threshold for spec in found})
    seeds = sorted({spec.seed for spec in found})
    chosen: list[tuple[str, object]] = [
        *(("score", score) for score in SCORES),
        *(("null", null) for null in NULLS if any(spec.null == null for spec in found)),
        *(("threshold", threshold) for threshold in thresholds),
    ]
    return [*chosen, *(("seed", seed) for seed in seeds if len(seeds) > 1)]


def _draw_curve(panel: Axes, specs: Sequence[Specification]) -> None:
    panel.axhline(0, color="#999999", linewidth=0.8)
    panel.axhline(SMALLEST_EFFECT, color="#999999", linewidth=0.8, linestyle=":")
    for stands, colour, marker in ((True, STANDS, "o"), (False, FALLS, "x")):
        places = [place for place, spec in enumerate(specs) if spec.stands == stands]
        panel.plot(
            places,
            [specs[place].effect for place in places],
            marker,
            color=colour,
            markersize=2.5,
            label="stands" if stands else "does not",
        )


def _draw_choices(
    panel: Axes, specs: Sequence[Specification], choices: Sequence[tuple[str, object]]
) -> None:
    for row, (of, value) in enumerate(choices):
        places = [place for place, spec in enumerate(specs) if getattr(spec, of) == value]
        panel.plot(places, [row] * len(places), "|", color="#333333", markersize=4, linewidth=0.6)
    labels = [
        f"{of} {value:g}" if isinstance(value, float) else f"{of} {value}" for of, value in choices
    ]
    panel.set_yticks(range(len(choices)), labels, fontsize=6)
    panel.set_ylim(len(choices) - 0.4, -0.6)
    panel.tick_params(axis="x", bottom=False, labelbottom=False)
