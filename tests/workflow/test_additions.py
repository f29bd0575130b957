"""A scenario, a conflict, a student and a figure, each added in one file and its registration."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.shared import joblog
from tests.shared.workflows import NOTHING, ROOT, TINY, snakemake

pytestmark = pytest.mark.slow

SCENARIO = '''
"""Scenario ``hinge``: a margin of at least one, on mean log-probabilities."""

from typing import Literal

from pydantic import Field, PositiveFloat

from workflow_scripts.methods.scenarios.scenario import Scenario


class Hinge(Scenario):
    """Loss ``max(0, width - s z)``."""

    kind: Literal["hinge"] = Field(default="hinge", exclude=True)
    width: PositiveFloat

    def pair_loss(self, margin, label):
        side = (label > 0.5).to(margin.dtype) * 2 - 1
        return (self.width - side * margin).clamp(min=0)
'''
CONFLICT = '''
"""Conflict ``reversed_half``: every other label is reversed."""

from dataclasses import replace
from typing import Literal

from workflow_scripts.methods.conflicts.conflict import Conflict


class ReversedHalf(Conflict):
    """The labels of every other pair are those of the other response."""

    kind: Literal["reversed_half"] = "reversed_half"

    def data(self, pairs, helpful):
        labels = pairs.labels.copy()
        labels[::2] = 1 - labels[::2]
        return replace(pairs, labels=labels)
'''
STUDENT = '''
"""Student ``timid``: large margins cost."""

from typing import Literal

from workflow_scripts.methods.students.student import Student


class Timid(Student):
    """Adds the square of the margin, times ``cost``, to its loss."""

    kind: Literal["timid"] = "timid"
    cost: float

    @property
    def is_direct(self):
        return False

    def loss_term(self, margin, label, pair_loss):
        return self.cost * margin**2
'''
FIGURE = '''
"""Figure: how many cells there are of each conflict."""

from workflow_scripts.report.figures.style import COLUMN, new_figure


def draw(rows):
    names = sorted({row["conflict"] for row in rows})
    figure = new_figure(COLUMN, 2)
    axes = figure.subplots()
    axes.bar(names, [sum(row["conflict"] == name for row in rows) for name in names])
    return figure
'''
METHODS = "workflow_scripts/methods"
FILES = {
    f"{METHODS}/scenarios/hinge.py": SCENARIO,
    f"{METHODS}/conflicts/reversed_half.py": CONFLICT,
    f"{METHODS}/students/timid.py": STUDENT,
    "workflow_scripts/report/figures/counts.py": FIGURE,
}
REGISTRATIONS = {
    f"{METHODS}/scenarios/registry.py": (
        ('    "dpo": Dpo,\n', '    "dpo": Dpo,\n    "hinge": Hinge,\n'),
        "from workflow_scripts.methods.scenarios.hinge import Hinge\n",
    ),
    f"{METHODS}/conflicts/registry.py": (
        ('    "explicit": Explicit,\n', '    "explicit": Explicit,\n    "half": ReversedHalf,\n'),
        "from workflow_scripts.methods.conflicts.reversed_half import ReversedHalf\n",
    ),
    f"{METHODS}/students/registry.py": (
        ('    "supervised": Supervised,\n', '    "supervised": Supervised,\n    "timid": Timid,\n'),
        "from workflow_scripts.methods.students.timid import Timid\n",
    ),
    "workflow_scripts/report/figure_list.py": (
        (
            "FIGURES = {\n",
            'FIGURES = {\n    "counts": Drawn("Counts", "Cells of each conflict."),\n',
        ),
        "",
    ),
}
EXPERIMENT = {
    "matrix": {
        "models": None,
        "pairs": [["small", "middle"]],
        "scenarios": ["simpo", "hinge"],
        "conflicts": ["none", "reversed_half"],
        "students": [{"name": "direct"}, {"name": "timid", "kind": "timid", "cost": 0.1}],
    },
    "scenarios": {
        "hinge": {"epochs": 1, "learning_rate": 1e-3, "schedule": "constant", "width": 1.0}
    },
    "conflicts": {"reversed_half": {"kind": "reversed_half"}},
    "execution": {"warm_start": True},  # from this code
}


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the code with a scenario, a conflict, a student and a figure more."""
    checkout = tmp_path_factory.mktemp("extended")
    for name in ("rules", "workflow_scripts", "profiles", "envs"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    (checkout / "tests").mkdir()
    for name in ("Snakefile", "config.yaml", "tests/tiny.yaml"):
        shutil.copyfile(ROOT / name, checkout / name)
    for name, text in FILES.items():
        (checkout / name).write_text(text.lstrip())
    for name, ((old, new), line) in REGISTRATIONS.items():
        text = (checkout / name).read_text()
        assert text.count(old) == 1, name
        text = text.replace(old, new).replace("\nfrom typing", f"\n{line}from typing", 1)
        (checkout / name).write_text(text.replace('"half"', '"reversed_half"'))
    (checkout / "more.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    return checkout


def test_what_is_added_in_one_file_runs_from_data_to_report(extended: Path, copied: Path):
    planned = joblog.run(copied, *TINY, "--dry-run", checkout=extended)
    rules = {job.rule for job in planned.jobs}
    assert rules <= {"figure", "page"}, "additions rerun what does not use them"

    given = (*TINY, "more.yaml")
    ran = snakemake(copied, *given, "--quiet", "all", checkout=extended)
    assert ran.returncode == 0, ran.stderr[-4000:]
    rows = pq.read_table(copied / "results/report/cells.parquet").to_pylist()
    cells = {(row["scenario"], row["conflict"], row["student"]) for row in rows}
    assert len(cells) == 8
    assert ("hinge", "reversed_half", "timid") in cells

    students = copied / "results/weak_to_strong/substances"
    margins = {
        cell: pq.read_table(students / cell / "seed0/predictions.parquet")["margin"].to_pylist()
        for cell in (
            f"{scenario}/small/middle/{conflict}"
            for scenario in ("simpo", "hinge")
            for conflict in ("none", "none/timid", "reversed_half")
        )
    }
    assert len({tuple(values) for values in margins.values()}) == len(margins)
    page = (copied / "results/report/index.html").read_text()
    assert "Cells of each conflict." in page
    assert (copied / "results/report/figures/counts_substances.svg").exists()
    again = snakemake(copied, *given, "--dry-run", checkout=extended)
    assert NOTHING in again.stdout + again.stderr
