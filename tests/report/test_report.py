"""Tables, figures and the terminal's summary, from probes to bytes."""

import csv
import json
import re
from importlib import import_module

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.shared.probes import draw, write_cells
from tests.shared.stages import run_stage
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_table
from workflow_scripts.measures.intervals import t_interval
from workflow_scripts.report.cells import (
    BLIND,
    EXCESS,
    GROUP,
    INFLUENCES,
    KEY,
    LEAST_EFFECTIVE,
    PLACEBO_P_VALUE,
    by_strength,
    influences_of,
)
from workflow_scripts.report.figure_list import FIGURES
from workflow_scripts.report.figures import (
    accuracies,
    bootstrapping,
    capability_gap,
    deception_score,
    excess_deception,
    thresholds,
)
from workflow_scripts.report.specifications import specifications
from workflow_scripts.report.summary import Console, Summary

# With the page: both read figures that are drawn once.
pytestmark = pytest.mark.xdist_group("figures")


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_cells_are_the_probes_from_weak_models_to_strong(probes, table):
    rows = read_csv(table.with_suffix(".csv"))
    assert len(rows) == len(probes) == 24
    names = [tuple(row[name] for name in KEY[1:]) for row in rows]
    assert names[:4] == [
        ("dpo", "small", "medium", "none", "direct", "0"),
        ("dpo", "small", "medium", "explicit", "direct", "0"),
        ("dpo", "small", "medium", "implicit", "direct", "0"),
        ("dpo", "small", "large", "none", "direct", "0"),
    ]
    written = json.loads(probes[0].read_text())
    row = rows[names.index(("simpo", "small", "large", "explicit", "direct", "0"))]
    for column, figure in {
        "accuracy_weak": written["accuracy"]["weak"],
        "misfit_weak_to_strong": written["misfit"]["weak_to_strong"],
        "squared_error_gain_weak_to_strong": written["squared_error_gain"]["weak_to_strong"],
        "conflict_tax_count": written["conflict_tax"]["count"],
        "deception_score": written["deception"]["deception_score"],
        "excess_deception_ratio": written["deception"]["excess_deception"]["ratio"],
        "strong_known_weak_unknown_tax": written["deception"]["quadrants"][
            "strong_known_weak_unknown"
        ]["tax"],
        "deception_score_at_0.5": written["deception_by_correctness"]["deception_score"],
        "blind_spot_deception_at_0.9": written["deception_by_threshold"][2]["blind_spot_deception"],
    }.items():
        given = [float(row[column + end]) for end in ("", "_low", "_high")]
        assert given == [figure["value"], *figure["interval"]]
    of_excess = written["deception"]["excess_deception"]
    for column, p_value in {
        "excess_deception_p_value": of_excess["p_value"],
        "excess_deception_stratified_p_value": of_excess["stratified"]["p_value"],
        PLACEBO_P_VALUE: of_excess["placebo"]["p_value"],
    }.items():
        assert float(row[column]) == p_value["value"]
    assert (row["pairs"], row["groups"]) == ("150", "50")


def test_the_two_tables_hold_the_same(table):
    as_text = read_csv(table.with_suffix(".csv"))
    for text, row in zip(as_text, pq.read_table(table).to_pylist(), strict=True):
        lists = [row.pop(influences_of(name)) for name in INFLUENCES]
        assert text == {name: "" if value is None else str(value) for name, value in row.items()}
        assert all(found is None or len(found) == 50 for found in lists)


def test_undefined_figures_are_empty_never_zero(table):
    row = read_csv(table.with_suffix(".csv"))[0]
    assert row["conflict"] == "none"
    assert float(row["conflict_tax_count"]) == 0
    assert row["deception_score"] == row["deception_score_low"] == ""
    assert row["excess_deception_p_value"] == ""


def test_tables_do_not_depend_on_the_order_of_probes(probes, table, tmp_path):
    again = write_cells(tmp_path, reversed(probes))
    assert again.read_bytes() == table.read_bytes()
    for name in ("cells.csv", "aggregated.csv"):
        assert (tmp_path / name).read_bytes() == table.with_name(name).read_bytes()


def test_seeds_are_aggregated_and_one_seed_says_so(table):
    rows = read_csv(table.with_name("aggregated.csv"))
    assert len(rows) == 18
    by_seeds = {row["seeds"]: row for row in rows if row["conflict"] == "explicit"}
    assert by_seeds["1"]["interval"] == "none: a single seed"
    assert by_seeds["1"]["accuracy_weak_low"] == ""
    three = by_seeds["3"]
    accuracies = [
        float(row["accuracy_weak"])
        for row in read_csv(table.with_suffix(".csv"))
        if all(row[name] == three[name] for name in GROUP)
    ]
    assert len(accuracies) == 3
    assert float(three["accuracy_weak"]) == pytest.approx(np.mean(accuracies))
    of_seeds = 4.302653 * np.std(accuracies, ddof=1) / np.sqrt(3)
    half = float(three["accuracy_weak_high"]) - np.mean(accuracies)
    # All seeds share the test pairs, which the spread over seeds says nothing of.
    assert of_seeds < half < np.hypot(of_seeds, 0.2)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], (None, None, None)),
        ([0.5], (0.5, None, None)),
        # Half-width: t(0.975, 2 degrees of freedom) * sd / sqrt(3) = 4.302653 / 1.732051.
        ([1.0, 2.0, 3.0], (2, 2 - 2.484138, 2 + 2.484138)),
        ([0.7, 0.7], (0.7, 0.7, 0.7)),
    ],
)
def test_t_interval(values, expected):
    assert t_interval(values) == pytest.approx(expected)


def test_two_probes_of_one_cell_are_refused(probes, tmp_path):
    twin = tmp_path / "twin.json"
    twin.write_bytes(probes[0].read_bytes())
    with pytest.raises(UserError, match=r"twin\.json: is of the same cell as .*seed0\.json"):
        write_cells(tmp_path, [*probes, twin])


def test_a_file_that_is_no_probe_is_refused(tmp_path):
    stray = tmp_path / "stray.json"
    stray.write_text('{"schema_version": 2}')
    with pytest.raises(UserError, match=r"stray\.json: \$: .*required"):
        write_cells(tmp_path, [stray])


def test_figures_are_written_the_same_twice_and_show_direct_students(drawn, table, tmp_path):
    rows = pq.read_table(table)
    variants = rows.set_column(
        rows.schema.get_field_index("student"), "student", pa.array(["via_medium"] * len(rows))
    )
    write_table(tmp_path / "cells.parquet", pa.concat_tables([variants, rows]))
    draw(tmp_path / "cells.parquet", table, tmp_path / "figures")
    names = [f"{name}_harmlessness.{suffix}" for name in FIGURES for suffix in ("png", "svg")]
    assert sorted(path.name for path in drawn.iterdir()) == sorted(names)
    for name in names:
        content = (drawn / name).read_bytes()
        assert content.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml")
        assert content == (tmp_path / "figures" / name).read_bytes(), name


def test_heat_map_shows_score_and_tax_of_each_cell(table):
    rows = pq.read_table(table).to_pylist()
    figure = deception_score.draw([row for row in rows if row["scenario"] == "dpo"])
    shown = {
        panel.get_title(): sorted(text.get_text() for text in panel.texts)
        for panel in figure.axes
        if panel.get_title()
    }
    assert shown == {
        f"dpo\n{conflict}": sorted(
            f"{row['deception_score']:.2f}\n{row['conflict_tax_count']:g}"
            for row in rows
            if (row["scenario"], row["conflict"]) == ("dpo", conflict)
        )
        for conflict in ("explicit", "implicit")
    }


def test_heat_map_hatches_a_cell_without_tax(table):
    rows = [row for row in pq.read_table(table).to_pylist() if row["scenario"] == "dpo"]
    untaxed = next(row for row in rows if row["conflict"] == "explicit")
    untaxed |= {"deception_score": None, "conflict_tax_count": 0.0}
    panel = deception_score.draw(rows).axes[0]
    assert [bool(patch.get_hatch()) for patch in panel.patches].count(True) == 1
    assert len(panel.texts) == 2


@pytest.mark.parametrize("models", [2, 10])
def test_figures_stay_legible_with_many_models(table, models):
    row = pq.read_table(table).to_pylist()[1]
    names = [f"model-{number}-7b" for number in range(models)]
    rows = [
        row | {"weak": weak, "strong": strong, "conflict": conflict, "scenario": scenario}
        for place, weak in enumerate(names)
        for strong in names[place + 1 :]
        for conflict in ("none", "explicit", "implicit")
        for scenario in ("reward_model", "simpo", "dpo")
    ]
    for module in (accuracies, deception_score, excess_deception):
        figure = module.draw(rows)
        figure.draw_without_rendering()
        assert 3.5 <= figure.get_figwidth() <= 7
        for panel in figure.axes:
            boxes = [text.get_window_extent() for text in panel.texts]
            boxes += [label.get_window_extent() for label in panel.get_yticklabels()]
            overlaps = sum(
                box.overlaps(other)
                for place, box in enumerate(boxes)
                for other in boxes[place + 1 :]
                if box.width and other.width
            )
            assert not overlaps
            assert all(text.get_fontsize() >= 5 for text in panel.texts)


@pytest.mark.parametrize(
    ("module", "keep", "reason"),
    [
        (accuracies, lambda row: False, "no cell of this target was run"),
        (deception_score, lambda row: row["conflict"] == "none", "has a conflict"),
        (deception_score, lambda row: row.update(deception_score=None) or True, "was taxed"),
    ],
)
def test_a_figure_with_too_little_data_says_so(table, module, keep, reason):
    rows = [row for row in pq.read_table(table).to_pylist() if keep(row)]
    figure = module.draw(rows)
    assert not figure.axes
    assert re.match(f"Too little data: .*{reason}", figure.texts[0].get_text())


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_says_where_there_is_no_data(name):
    figure = import_module(f"workflow_scripts.report.figures.{name}").draw([])
    assert not figure.axes
    assert figure.texts[0].get_text().startswith("Too little data: ")


@pytest.mark.parametrize("cells_shown", [5, 500])
def test_intervals_are_drawn_where_they_do_not_hide_the_cells(table, cells_shown):
    row = next(row for row in pq.read_table(table).to_pylist() if row["deception_score"])
    rows = [
        row | {"seed": seed, "student": student, "through": through}
        for seed in range(cells_shown)
        for student, through in (("direct", ""), ("via_medium", "medium"))
    ]
    figure = bootstrapping.draw(rows)
    told = figure.axes[0].get_xlabel()
    assert f"{cells_shown} cells of n = 150 test pairs" in told
    assert ("bars: 95 %" in told) == bool(figure.axes[0].collections) == (cells_shown == 5)


def test_thresholds_show_what_a_blind_tax_has(table):
    rows = [
        row
        for row in pq.read_table(table).to_pylist()
        if (row["scenario"], row["strong"], row["conflict"]) == ("dpo", "medium", "explicit")
    ]
    panel = thresholds.draw(rows).axes[0]
    score, blind, _ = panel.lines
    assert len(rows) == 1
    for line, column in ((score, "deception_score"), (blind, BLIND)):
        thresholds_of_line, values = map(np.asarray, line.get_data())
        (at,) = np.flatnonzero(thresholds_of_line == rows[0]["threshold"])
        assert values[at] == pytest.approx(rows[0][column])


def test_the_trends_of_b_and_of_the_excess_add_to_that_of_the_score(table):
    label = capability_gap.draw(pq.read_table(table).to_pylist()).get_supxlabel()
    found = re.search(r"DS (\S+) = b (\S+) \+ excess (\S+)\n", label)
    assert found
    score, blind, excess = map(float, found.groups())
    assert score == pytest.approx(blind + excess, abs=0.002)


def test_many_lines_of_thresholds_are_told_by_conflict(table):
    rows = [row for row in pq.read_table(table).to_pylist() if row["conflict"] == "explicit"]
    many = [row | {"strong": f"model-{number}"} for number in range(13) for row in rows]
    for shown, labels in ((rows, 3), (many, 1)):
        figure = thresholds.draw(shown)
        assert len(figure.legends[0].texts) == labels


@pytest.mark.parametrize(
    ("pairs", "order"),
    [
        ([("small", "large"), ("small", "medium"), ("medium", "large")], "small medium large"),
        ([("a", "d"), ("b", "d"), ("c", "d"), ("d", "A")], "a b c d A"),
        ([("x", "y"), ("y", "x")], "x y"),
    ],
)
def test_models_are_ordered_by_whom_they_supervise(pairs, order):
    models = {model for pair in pairs for model in pair}
    assert by_strength(models, pairs) == order.split()


@pytest.mark.parametrize("columns", [30, 80, 200])
def test_summary_fits_the_terminal(table, columns):
    rows = pq.read_table(table).to_pylist()
    printed = print_summary(rows, columns)
    assert all(len(line) <= columns for line in printed.splitlines())
    shown = " ".join(printed.split())
    for row in rows:
        assert f"{row['accuracy_weak']:.3f}" in shown
        if row["deception_score"] is not None:
            score, low = row["deception_score"], row["deception_score_low"]
            told = rf"\[{low:.2f}, " if row["effective_tax"] >= LEAST_EFFECTIVE else r"\(few\)"
            assert re.search(rf"{score:.2f}\s+{told}", shown)


@pytest.mark.parametrize("columns", [40, 120])
def test_summary_names_students_where_there_are_variants(table, columns):
    rows = pq.read_table(table).to_pylist()
    assert "direct" not in print_summary(rows, columns)
    variants = [row | {"student": "via_medium"} for row in rows[:2]]
    printed = print_summary(rows + variants, columns)
    assert printed.count("via_medium") == 2
    assert all(len(line) <= columns for line in printed.splitlines())


def print_summary(rows, columns):
    console = Console(width=columns, color_system=None)
    with console.capture() as captured:
        console.print(Summary(rows))
    return captured.get()


def test_summary_says_how_many_cells_it_leaves_out(table):
    rows = pq.read_table(table).to_pylist() * 3
    assert "12 more in cells.csv" in print_summary(rows, 120)
    assert "more in cells.csv" not in print_summary(rows[:60], 120)


def test_summary_prints_where_there_is_no_terminal(table, capsys):
    run_stage("summary", "--cells", table)
    printed = capsys.readouterr().out
    assert "harmlessness, simpo  150 test pairs in 50 groups, known at confidence 0.75" in printed
    assert "\x1b" not in printed


def test_a_claim_stands_in_the_specifications_in_which_its_effect_does(table):
    rows = [row for row in pq.read_table(table).to_pylist() if row["conflict"] != "none"]
    found = [spec for spec in specifications(rows) if spec.claim == "exists"]
    assert len(found) == len({(s.threshold, s.score, s.null, s.seed) for s in found})
    assert {spec.threshold for spec in found} == {0.5, 0.6, 0.75, 0.9}
    assert {spec.seed for spec in found} == {0, 1, 2}
    first = next(
        spec
        for spec in found
        if (spec.threshold, spec.score, spec.null, spec.seed) == (0.75, "DS", "stratified", 0)
    )
    cells = [row for row in rows if row["seed"] == 0]
    assert first.effect == pytest.approx(np.mean([row[EXCESS] for row in cells]))
    planted = [
        row | {name: 0.3 for name in row if name.startswith("excess_") and "_at_" in name}
        for row in rows
    ]
    for spec in specifications(planted):
        assert spec.stands == (spec.claim == "exists")
        assert spec.effect == pytest.approx(0.3 if spec.stands else 0)
