"""The table of cells: a probe's row in it, and the order of rows."""

import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, overload

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
ADJUSTED = "excess_deception_p_value_adjusted"
"""The larger p of its two nulls, adjusted by Benjamini and Hochberg over a target's cells."""
UNSTRATIFIED_P_VALUE = "excess_deception_p_value"
PLACEBO = "excess_deception_placebo_excess"
"""The same excess of a second student without conflict."""
BEYOND_PLACEBO = "excess_deception_placebo_difference"
PLACEBO_P_VALUE = "excess_deception_placebo_p_value"
REPEATED_P_VALUE = "repeats_p_value"
SWEPT = (
    ("deception_score",),
    ("deception_score_strong_known",),
    *(
        (f"excess_{score}", *null)
        for score in ("deception", "deception_strong_known")
        for null in (("difference",), ("stratified", "difference"), ("placebo", "difference"))
    ),
    ("blind_spot_deception",),
)
"""Where the figures are that are given at every threshold; the probes hold others too."""
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


Packed = tuple[Mapping[str, int], tuple[Any, ...]]
"""The place of each column of a row, and its values."""


class Rows(Sequence[CellRow]):
    """Rows in a tenth of the memory: each is a dictionary only while it is looked at."""

    def __init__(self, packed: Iterable[Packed]) -> None:
        """Keep packed rows."""
        self._packed = list(packed)

    def __len__(self) -> int:
        return len(self._packed)

    @overload
    def __getitem__(self, place: int) -> CellRow: ...

    @overload
    def __getitem__(self, place: slice) -> "Rows": ...

    def __getitem__(self, place: int | slice) -> "CellRow | Rows":
        if isinstance(place, slice):
            return Rows(self._packed[place])
        places, values = self._packed[place]
        return dict(zip(places, values, strict=True))

    def put(self, name: str, column: Sequence[Any]) -> None:
        """Replace each row's value of a column that it has."""
        assert len(column) == len(self)
        for number, value in enumerate(column):
            places, values = self._packed[number]
            place = places[name]
            self._packed[number] = places, (*values[:place], value, *values[place + 1 :])

    def tuples(self, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield each row's values of some columns, None where it has none."""
        of_columns: dict[int, list[int | None]] = {}
        for places, values in self._packed:
            found = of_columns.get(id(places))
            if found is None:
                found = of_columns[id(places)] = [places.get(name) for name in names]
            yield tuple([None if place is None else values[place] for place in found])

    def columns(self) -> list[str]:
        """Return the columns that any row has, in order of first appearance."""
        # Rows of the same columns share them.
        shared = {id(places): places for places, _ in self._packed}
        return list(dict.fromkeys(itertools.chain.from_iterable(shared.values())))

    def column(self, name: str) -> list[Any]:
        """Return each row's value of a column, None where it has none."""
        return [
            None if (place := places.get(name)) is None else values[place]
            for places, values in self._packed
        ]


def packed(row: CellRow) -> Packed:
    """Return a row without names of its own: rows of the same columns share them."""
    return _places(tuple(row)), tuple(row.values())


@cache
def _places(columns: tuple[str, ...]) -> dict[str, int]:
    return {name: place for place, name in enumerate(columns)}


class CellRows(NamedTuple):
    """What the tables have of one probe.

    Attributes:
        cell: what `KEY` names.
        path: of the probe.
        row: of the table of cells, packed.
        reliability: the probe's, as JSON: thousands of bins take less memory as text.
    """

    cell: tuple[Any, ...]
    path: str
    row: Packed
    reliability: str

    def bins(self) -> list[dict[str, Any]]:
        """Return the rows of the table of confidences, one a model and bin."""
        cell = dict(zip(KEY, self.cell, strict=True))
        return [
            cell | {"model": model} | bin_
            for model, bins in json.loads(self.reliability).items()
            for bin_ in bins
        ]


def rows_of(path: str, probe: Mapping[str, Any]) -> CellRows:
    """Return the rows of a probe, with its path."""
    cell = tuple(probe["settings"][name] for name in KEY)
    row = packed(cell_row(probe) | {"probe": path})
    return CellRows(cell, path, row, json.dumps(probe["reliability"]))


def sorted_cells(cells: Iterable[CellRows]) -> list[CellRows]:
    """Return the cells in order: those of weak models, of `none` and of direct students first.

    Raises:
        UserError: if two are of one cell.
    """
    by_cell: dict[tuple[Any, ...], CellRows] = {}
    for found in cells:
        if other := by_cell.get(found.cell):
            raise UserError(f"{found.path}: is of the same cell as {other.path}; give one of them")
        by_cell[found.cell] = found
    weak, strong = KEY.index("weak"), KEY.index("strong")
    pairs = {(cell[weak], cell[strong]) for cell in by_cell}
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
    row[ADJUSTED] = None  # known once all cells are
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
        threshold = f"_at_{swept['threshold']:g}"
        row |= _row(
            ("_".join(path) + threshold, figure)
            for path in SWEPT
            if (figure := _figure_at(path, swept))
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


def _figure_at(path: Sequence[str], tree: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the figure at a place in a tree of them; None where there is none."""
    for name in path:
        tree = tree.get(name, {})
    return tree if "interval" in tree else None


def _row(figures: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return each figure's value and the ends of its interval as columns."""
    row: dict[str, Any] = {}
    for name, figure in figures:
        low, high = _ends(name)
        row[name] = figure["value"]
        row[low], row[high] = figure["interval"] or (None, None)
    return row


@cache
def _ends(figure: str) -> tuple[str, str]:
    """Return the columns of the ends of a figure's interval."""
    return f"{figure}_low", f"{figure}_high"


def interval_text(row: CellRow, figure: str) -> str:
    """Write the interval of one of a cell's scores, or that its tax is too small for one."""
    low, high = row[f"{figure}_low"], row[f"{figure}_high"]
    if low is None:
        return ""
    return FEW if row["effective_tax"] < LEAST_EFFECTIVE else f"[{low:.2f}, {high:.2f}]"


def figure_names(row: Mapping[str, Any]) -> list[str]:
    """Return the figures of a row that have an interval, in its order."""
    return [name.removesuffix("_low") for name in row if name.endswith("_low")]
