"""The report as one page that opens anywhere: no network, no server, no other file."""

import os
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import UserError
from workflow_scripts.report.budget import budget
from workflow_scripts.report.cells import (
    ADJUSTED,
    BLIND,
    EXCESS,
    P_VALUE,
    PLACEBO,
    PLACEBO_P_VALUE,
    SCORE,
    UNSTRATIFIED_P_VALUE,
    CellRow,
    by_strength,
    interval_text,
)
from workflow_scripts.report.claims import claims
from workflow_scripts.report.figure_list import FIGURES
from workflow_scripts.report.mitigations import mitigations
from workflow_scripts.report.p_values import written
from workflow_scripts.report.replication import LEAST_MODELS, LEAST_SEEDS
from workflow_scripts.report.selection import conflicting, direct, distinct, seed_counts

TEMPLATES = Path(__file__).parent / "templates"
AT_ONCE = 200
"""Rows of the table that are drawn until more are asked for."""
HEAVY = 400_000
"""Bytes of an SVG above which a page shows the PNG: of thousands of cells it has a mark each."""
PACKAGES = ("numpy", "scipy", "pyarrow", "matplotlib", "jinja2", "jsonschema-rs")

NAMES = {
    "target": "target",
    "scenario": "scenario",
    "weak": "weak model",
    "strong": "strong model",
    "conflict": "conflict",
    "student": "kind",
}
NUMBERS = {
    "pairs": ("n", "test pairs", ",g"),
    "groups": ("groups", "groups of test pairs that hang together: what is independent", ",g"),
    "accuracy_weak": ("weak", "accuracy of the weak ceiling", ".3f"),
    "accuracy_weak_to_strong": ("student", "accuracy of the student", ".3f"),
    "accuracy_strong": ("strong", "accuracy of the strong ceiling", ".3f"),
    "performance_gap_recovered_weak_to_strong": ("PGR", "performance gap recovered", ".2f"),
    "conflict_tax_count": ("tax", "pairs that the conflict cost the student", ",g"),
    "deception_score": ("DS", "share of the tax: strong knows, weak doesn't", ".2f"),
    BLIND: ("b", "DS of a tax that falls blindly within strata of margin and length", ".2f"),
    EXCESS: ("excess", "DS less b", "+z.2f"),
    PLACEBO: ("placebo", "the excess of a second student without conflict", "+z.2f"),
    UNSTRATIFIED_P_VALUE: (
        "p blind",
        "would a tax that falls blindly on all pairs do as much?",
        "p",
    ),
    P_VALUE: ("p strat.", "would one that falls blindly within strata do as much?", "p"),
    PLACEBO_P_VALUE: ("p placebo", "does the second student account for the excess?", "p"),
    ADJUSTED: (
        "adj. p",
        "the larger of the last two, adjusted over the target's cells (Benjamini and Hochberg)",
        "p",
    ),
}
"""Columns of the page's table: heading, what it is, how it is written."""


def page(
    settings: Mapping[str, Any],
    rows: Sequence[CellRow],
    *,
    data: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
    figures: Path,
    place: Path,
) -> str:
    """Return the page, in HTML.

    Args:
        settings: what was run.
        rows: of the table of cells.
        data: reports of the data sets, by target.
        records: of all trainings.
        figures: folder of the figures, which the page takes in.
        place: the page's file, from which it links to the probes.

    Raises:
        UserError: if a figure is missing or unreadable.
    """
    # A single target or kind of student needs no column.
    shown = {
        name: heading
        for name, heading in NAMES.items()
        if heading not in ("target", "kind") or len({row[name] for row in rows}) > 1
    }
    return render(
        settings=settings,
        scenarios=distinct(rows, "scenario"),
        conflicts=distinct(rows, "conflict"),
        seeds=seed_counts(rows),
        generated=[
            name
            for name, target in settings["targets"].items()
            if target["sets"]["test"]["source"].get("world")
        ],
        targets=[_target(name, rows, figures) for name in settings["matrix"]["targets"]],
        table=[_table_row(row, shown, place) for row in rows],
        mitigations=mitigations(rows),
        at_once=AT_ONCE,
        score=list(NUMBERS).index("deception_score"),
        headings=shown.values(),
        models=by_strength(settings["models"], {(row["weak"], row["strong"]) for row in rows}),
        columns=NUMBERS,
        data=data,
        trainings=trainings(records),
        least_models=LEAST_MODELS,
        least_seeds=LEAST_SEEDS,
        packages={name: version(name) for name in PACKAGES},
    )


def render(**context: Any) -> str:
    """Return the page; everything is escaped that the template doesn't mark as safe."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template, css, js = (
        (TEMPLATES / name).read_text(encoding="utf-8")
        for name in ("page.html.j2", "page.css", "page.js")
    )
    return environment.from_string(template).render(css=css, js=js, **context)


def trainings(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the records of all trainings have in common: number, hours, devices, versions."""
    return {
        "number": len(records),
        "hours": sum(record["seconds"] for record in records) / 3600,
        "devices": sorted({record["device"] for record in records}),
        "versions": {
            name: sorted({record["versions"].get(name, "-") for record in records})
            for name in sorted({name for record in records for name in record["versions"]})
        },
    }


def _target(name: str, rows: Sequence[CellRow], figures: Path) -> dict[str, Any]:
    """Return one target's claims and figures, each figure to be shown once: it may be large."""
    of_name = [row for row in rows if row["target"] == name]
    of_target = claims(of_name)
    first_shown: dict[str, int] = {}
    for number, claim in enumerate(of_target, 1):
        first_shown.setdefault(claim.figures[0], number)
    return {
        "name": name,
        "length": length_text(of_name),
        "budget": budget(of_name),
        "claims": of_target,
        "figures_of_claims": first_shown,
        "figures": {
            figure: {
                "title": drawn.title,
                "caption": drawn.caption,
                "image": _image(figures / f"{figure}_{name}.svg"),
            }
            for figure, drawn in FIGURES.items()
        },
    }


def length_text(rows: Sequence[CellRow]) -> str:
    """Return how far the cue of length goes, and what is left of DS without it."""
    if not rows:
        return ""
    first = rows[0]
    pairs = first["length_unexplained_pairs"]
    told = (
        f"To prefer the {first['length_rule']} response, whatever it says, is right on "
        f"{first['length_accuracy']:.1%} of the test pairs."
    )
    both = [
        (row[SCORE], row["length_unexplained_score"], row["length_unexplained_difference"])
        for row in conflicting(direct(rows))
        if row["length_unexplained_score"] is not None
    ]
    if not both:
        return told
    whole, without, beyond = (sum(column) / len(both) for column in zip(*both, strict=True))
    return (
        f"{told} On the {pairs:,g} pairs on which that is not right, DS is {without:.2f} on "
        f"average, {beyond:+z.2f} in excess; {whole:.2f} on all, over {len(both)} cells with tax."
    )


def _image(path: Path) -> str:
    """Return a figure as a data URI: its SVG, or the PNG beside it where that is heavy."""
    try:
        is_heavy = path.stat().st_size > HEAVY
        shown, kind = (path.with_suffix(".png"), "png") if is_heavy else (path, "svg+xml")
        return f"data:image/{kind};base64,{b64encode(shown.read_bytes()).decode()}"
    except OSError as error:
        raise UserError(
            f"{error.filename}: cannot be read ({error.strerror}); draw the figures again"
        ) from error


def _table_row(row: CellRow, names: Iterable[str], page: Path) -> dict[str, Any]:
    """Return a row's names, link and numbers: each number as it is sorted and as it is written."""
    return {
        "names": [row[name] for name in names],
        "seed": row["seed"],
        "probe": os.path.relpath(row["probe"], page.parent),
        "values": [row.get(column) for column in NUMBERS],
        "written": [_written(row.get(column), form) for column, (_, _, form) in NUMBERS.items()],
        "interval": interval_text(row, SCORE),
    }


def _written(value: float | None, form: str) -> str:
    if form == "p":
        return written(value)
    return "-" if value is None else format(value, form)
