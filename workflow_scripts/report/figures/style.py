"""How the report's figures look and how they are written: the same data give the same bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib import rc_context, rcParamsDefault
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from workflow_scripts.core.atomic import atomic_path

COLUMN = 3.5
"""Width of one column of a paper, inches; a figure over two is twice that."""

PANEL_GAP = 0.08
"""Inches on both sides of a panel, so that ticks of neighbours do not touch."""

# Okabe and Ito's palette: distinct to colour-blind readers. Each colour has a marker of its own.
CEILING_COLOURS = {"weak": "#56B4E9", "strong": "#000000"}
CONFLICT_STYLES = (
    ("#009E73", "o"),
    ("#D55E00", "s"),
    ("#0072B2", "^"),
    ("#CC79A7", "D"),
    ("#E69F00", "v"),
)
LINES = ("-", "--", ":", "-.")
SCORE_COLOURS = "cividis"

STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.4,
    "hatch.color": "#999999",
    "svg.hashsalt": "weak-to-strong",
}
# Without these, each format records the time or the program, and bytes would differ.
METADATA = {"svg": {"Date": None}, "png": {"Software": None}}


@contextmanager
def in_force() -> Iterator[None]:
    """Draw as `STYLE` says within the context, whatever this machine's settings are."""
    # The backend is not a matter of style, and to look it up would load one.
    defaults: dict[Any, Any] = {
        name: rcParamsDefault[name] for name in rcParamsDefault if name != "backend"
    }
    with rc_context(defaults | STYLE):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of the given size in inches, laid out without overlaps."""
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=PANEL_GAP))
    FigureCanvasAgg(figure)
    return figure


def notice(reason: str) -> Figure:
    """Return a figure that shows why there is nothing to draw."""
    figure = new_figure(2 * COLUMN, 1)
    figure.text(0.5, 0.5, f"Too little data: {reason}", ha="center", va="center", wrap=True)
    return figure


def save(figure: Figure, stem: Path) -> None:
    """Write a figure as ``stem``.svg and ``stem``.png."""
    for suffix, metadata in METADATA.items():
        with in_force(), atomic_path(stem.with_name(f"{stem.name}.{suffix}")) as partial:
            figure.savefig(partial, format=suffix, dpi=200, metadata=metadata)
