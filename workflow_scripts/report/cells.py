"""The table of cells: a probe's row in it, and the order of rows."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from workflow_scripts.core.errors import UserError
from workflow_scripts.methods.students.student import DIRECT

CellRow = Mapping[str, Any]
"""A row of the table of cells: values by column."""

GROUP = ("target", "scenario", "weak", "strong", "conflict", "student")
KEY = (*GROUP, "seed")
FIRST = ("none", DIRECT)
"""The conflict and the student that others are compared with, sorted before them."""
SETTINGS = ("pairs", "groups", "threshold")
SCORE = "deception_score"
EXCESS = "excess_deception_stratified_difference"
"""DS less the DS of a tax that falls blindly within strata: what claims are about."""
BLIND = "excess_deception_stratified_baseline"
P_VALUE = "excess_deception_stratified_p_value"
UNSTRATIFIED_P_VALUE = "excess_deception_p_value"
PLACEBO = "excess_deception_placebo_excess"
"""The same excess of a second student without conflict."""
BEYOND_PLACEBO = "excess_deception_placebo_difference"
PLACEBO_P_VALUE = "excess_deception_placebo_p_value"
REPEATED_P_VALUE = "repeats_p_value"
SWEPT = (
    "deception_score",
    "deception_score_strong_known",
    *(
        f"excess_{score}_{null}"
        for score in ("deception", "deception_strong_known")
        for null in ("difference", "stratified_difference", "placebo_difference")
    ),
    "blind_spot_deception",
)
"""The figures given at every threshold; the probes hold the others too."""
INFLUENCES = {SCORE: "score", BLIND: "baseline"}
"""Figures whose influences a row has, and what the probe calls them."""
LEVEL = 0.95
LEAST_EFFECTIVE = 10
"""Independent pairs that the taxed ones count as, below which an interval isn't told.

It would cover most of the scale, and how alike so few pairs are is hardly known
(docs/calibration.md).
"""
FEW = "(few)"
"""What is told instead."""


class CellRows(NamedTuple):
    """What the tables have of one probe.

    Attributes:
        row: of the table of cells.
        bins: of the table of confidences, one a model and bin.
    """

    row: CellRow
    bins: Sequence[CellRow]


def rows_of(path: str, probe: Mapping[str, Any]) -> CellRows:
    """Return the rows of a probe, with its path."""
    cell = {name: probe["settings"][name] for name in KEY}
    bins = [
        cell | {"model": model} | bin_
        for model, bins in probe["reliability"].items()
        for bin_ in bins
    ]
    return CellRows(cell_row(probe) | {"probe": path}, bins)


def sorted_cells(cells: Iterable[CellRows]) -> list[CellRows]:
    """Return the cells in order: those of weak models, of `none` and of direct students first.

    Raises:
        UserError: if two are of one cell.
    """
    by_cell: dict[tuple[Any, ...], CellRows] = {}
    for found in cells:
        cell = tuple(found.row[name] for name in KEY)
        if cell in by_cell:
            path, other = found.row["probe"], by_cell[cell].row["probe"]
            raise UserError(f"{path}: is of the same cell as {other}; give one of them")
        by_cell[cell] = found
    pairs = {(found.row["weak"], found.row["strong"]) for found in by_cell.values()}
    models = by_strength({model for pair in pairs for model in pair}, pairs)

    def order(cell: tuple[Any, ...]) -> list[tuple[bool, Any]]:
        return [
            (name not in FIRST, models.index(name) if key in ("weak", "strong") else name)
            for key, name in zip(KEY, cell, strict=True)
        ]

    return [by_cell[cell] for cell in sorted(by_cell, key=order)]


def by_strength(models: Iterable[str], pairs: Collection[tuple[str, str]]) -> list[str]:
    """Return models from weak to strong: by the number of models below each, then by name.

    Args:
        models: names to order.
        pairs: (weak, strong) names; a strong model is above its weak one and all below that.
    """
    below: dict[str, set[str]] = {}
    for _ in pairs:
        for weak, strong in pairs:
            below.setdefault(strong, set()).update({weak}, below.get(weak, ()))
    return sorted(models, key=lambda model: (len(below.get(model, ())), model))


def cell_row(probe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a probe as one row: its cell, then each figure with its `_low` and `_high`."""
    main = probe["deception"]
    row = {name: probe["settings"][name] for name in KEY}
    # How a variant was supervised; settings of direct students have no such keys.
    row |= {
        "through": ", ".join(probe["settings"].get("through", ())),
        "filter": probe["settings"].get("filter"),
        "kind": probe["settings"].get("student_settings", {}).get("kind", ""),
        "lora_of": probe["settings"].get("lora_of", ""),
    }
    row |= {"pairs": probe["pairs"], "groups": probe["groups"], "threshold": main["threshold"]}
    for part in ("accuracy", "performance_gap_recovered", "conflict_tax"):
        row |= _row(_figures(probe[part], f"{part}_"))
    row["effective_tax"] = main["effective_tax"]
    row |= _row(_scores(main))
    row |= _row(_figures(probe["selection_control"], "selection_control_"))
    of_excess = main["excess_deception"]
    row[UNSTRATIFIED_P_VALUE] = of_excess["p_value"]["value"]
    row[P_VALUE] = of_excess["stratified"]["p_value"]["value"]
    row[PLACEBO_P_VALUE] = of_excess["placebo"].get("p_value", {}).get("value")
    row |= _row(_figures(probe["length"], "length_"))
    row["length_rule"] = probe["length"]["rule"]
    row |= _row(_figures(probe["repeats"], "repeats_"))
    row["repeats_deceived"] = probe["repeats"].get("deceived")
    row["repeats_both"] = probe["repeats"].get("deceived_in_both")
    row[REPEATED_P_VALUE] = probe["repeats"].get("p_value", {}).get("value")
    row |= _row(_figures(main["quadrants"]))
    for part in ("confidence_variance", "misfit", "squared_error_gain", "error_covariance"):
        row |= _row(_figures(probe[part], f"{part}_"))
    for swept in (probe["deception_by_correctness"], *probe["deception_by_threshold"]):
        scores = dict(_scores(swept))
        row |= _row(
            (f"{name}_at_{swept['threshold']:g}", scores[name]) for name in SWEPT if name in scores
        )
    found = probe["influences"] or {}
    # Arrays: as lists of numbers, the groups of thousands of cells would take gigabytes.
    row |= {
        influences_of(name): np.array(found[part]) if found else None
        for name, part in INFLUENCES.items()
    }
    return row


def influences_of(figure: str) -> str:
    """Return the column with each group's influence on a figure."""
    return f"{figure}_influences"


def _scores(deception: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the scores at one threshold by column name."""
    return _figures({name: part for name, part in deception.items() if name != "quadrants"})


def _figures(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every figure in a tree of them, named by its path joined by underscores."""
    for name, node in tree.items():
        if not isinstance(node, dict):
            continue
        if "interval" in node:
            yield f"{prefix}{name}", node
        else:
            yield from _figures(node, f"{prefix}{name}_")


def _row(figures: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return each figure's value and the ends of its interval as columns."""
    row: dict[str, Any] = {}
    for name, figure in figures:
        low, high = figure["interval"] or (None, None)
        row |= {name: figure["value"], f"{name}_low": low, f"{name}_high": high}
    return row


def interval_text(row: CellRow, figure: str) -> str:
    """Write the interval of one of a cell's scores, or that its tax is too small for one."""
    low, high = row[f"{figure}_low"], row[f"{figure}_high"]
    if low is None:
        return ""
    return FEW if row["effective_tax"] < LEAST_EFFECTIVE else f"[{low:.2f}, {high:.2f}]"


def figure_names(row: Mapping[str, Any]) -> list[str]:
    """Return the figures of a row that have an interval, in its order."""
    return [name.removesuffix("_low") for name in row if name.endswith("_low")]
