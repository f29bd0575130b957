"""The table of what mitigates, against plain means of the cells that it is made of."""

import csv
import io
import math
from statistics import NormalDist, fmean

import numpy as np
import pytest

from workflow_scripts.report.cell_table import read_cells
from workflow_scripts.report.cells import EXCESS, LEAST_EFFECTIVE, SCORE, influences_of
from workflow_scripts.report.mitigations import mitigations
from workflow_scripts.report.replication import influences
from workflow_scripts.report.tables import TABLES
from workflow_scripts.report.written_table import comma_separated

LESS = 0.125
"""How much less excess, and how much more accuracy, the variants below have."""


def lines(rows):
    """Return the table's lines, each a mapping from heading to text, by student."""
    found = csv.DictReader(io.StringIO(comma_separated(mitigations(rows))))
    return {line["student"]: line for line in found}


def mitigated(rows, student="refined", **changed):
    """Return rows as those of another student, with less excess and more accuracy."""
    return [
        {
            **row,
            "student": student,
            SCORE: None if row[SCORE] is None else row[SCORE] - LESS,
            EXCESS: None if row[EXCESS] is None else row[EXCESS] - LESS,
            "accuracy_weak_to_strong": row["accuracy_weak_to_strong"] + LESS,
            **changed,
        }
        for row in rows
    ]


@pytest.fixture
def cells(table):
    return read_cells(str(table))


def test_each_student_is_compared_with_the_direct_one_of_its_cells(cells):
    some = [row for row in cells if row["scenario"] == "simpo"]
    found = lines(
        cells
        + mitigated(some, kind="refined")
        + mitigated(some, "via", through="medium")
        + mitigated(some, "sure", filter=0.75)
    )
    assert [*found] == ["direct", "refined", "via", "sure"]
    assert {name: line["supervision"] for name, line in found.items()} == {
        "direct": "all labels",
        "refined": "refined",
        "via": "through medium",
        "sure": "labels of 0.75 or more",
    }
    with_conflict = [row for row in some if row["conflict"] != "none"]
    line = found["refined"]
    assert int(line["cells"]) == len(with_conflict)
    assert int(line["with tax"]) == sum(row[SCORE] is not None for row in with_conflict)
    accuracy = 100 * fmean(row["accuracy_weak_to_strong"] for row in with_conflict)
    assert float(line["accuracy %"]) == pytest.approx(accuracy + 100 * LESS, abs=0.06)
    assert float(line["change of accuracy"]) == pytest.approx(100 * LESS)
    assert float(line["change of PGR"]) == float(line["change of tax"]) == 0
    assert float(line["change"]) == pytest.approx(-LESS)
    for end in ("low", "high"):
        # Its influences are the direct student's: of the difference nothing is uncertain.
        assert float(line[f"change {end}"]) == pytest.approx(-LESS)
    assert found["direct"]["change"] == found["direct"]["change of PGR"] == ""


def test_of_one_seed_and_few_models_the_interval_is_over_test_pairs_alone(cells):
    one = [row for row in cells if row["seed"] == 0]
    line = lines(one + mitigated(one))["refined"]
    taxed = [row for row in one if row[SCORE] is not None]
    assert sum(row["effective_tax"] for row in taxed) >= LEAST_EFFECTIVE
    value = fmean(row[EXCESS] for row in taxed) - LESS
    moved = np.mean([np.asarray(influences(row, EXCESS)) for row in taxed], axis=0)
    groups = np.count_nonzero(moved)
    half = NormalDist().inv_cdf(0.975) * math.sqrt(moved @ moved * groups / (groups - 1))
    assert line["interval over"] == "test pairs alone"
    assert [float(line[name]) for name in ("excess", "excess low", "excess high")] == pytest.approx(
        [value, value - half, value + half], abs=6e-4
    )


@pytest.mark.parametrize(
    ("changed", "empty"),
    [
        ({"effective_tax": 0.5}, {"excess low", "change low"}),
        ({SCORE: None, EXCESS: None, influences_of(SCORE): None}, {"excess", "change"}),
        ({"performance_gap_recovered_weak_to_strong": None}, {"PGR", "change of PGR"}),
    ],
    ids=["few taxed pairs", "no tax", "no gap between the ceilings"],
)
def test_what_is_undefined_is_left_empty(cells, changed, empty):
    one = [row for row in cells if row["seed"] == 0][:6]
    line = lines(one + mitigated(one, **changed))["refined"]
    assert all(line[name] == "" for name in empty)
    assert line["accuracy %"]


def test_the_lora_student_is_compared_with_the_one_whose_weights_are_all_trained(cells):
    large = [row for row in cells if (row["weak"], row["strong"]) == ("small", "large")]
    adapted = mitigated(large, "direct", strong="adapted", lora_of="large")
    line = lines(large + adapted)["LoRA"]
    assert line["supervision"] == "all labels, adapters trained"
    assert int(line["cells"]) == sum(row["conflict"] != "none" for row in large)
    assert float(line["change"]) == pytest.approx(-LESS)


def test_direct_students_alone_have_nothing_to_be_compared_with(cells):
    assert not mitigations(cells).body
    assert "matrix.students" in mitigations(cells).without
    assert TABLES["mitigations"] is mitigations
