"""What the documentation names is there, and a command that it shows runs."""

import importlib
import re
import shlex
import subprocess
import sys
from functools import reduce
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.shared.probes import write_pairs
from tests.shared.workflows import ROOT
from workflow_scripts.core.files import write_table
from workflow_scripts.measures.probe_file import read_probe
from workflow_scripts.report.figure_list import FIGURES
from workflow_scripts.report.tables import TABLES

PAGES = ("docs/method.md", "docs/code.md", "CONTRIBUTING.md")
EVERY_PAGE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

QUOTED = {
    quoted
    for page in PAGES
    for quoted in re.findall(r"`([^`\n]+)`", (ROOT / page).read_text())
    if "NAME" not in quoted
}
CODE = sorted(
    tuple(quoted.split(":"))
    for quoted in QUOTED
    if re.fullmatch(r"[a-z_]+(\.\w+)*:[\w.]+", quoted) and quoted != "module:function"
)
PATHS = sorted(
    quoted
    for quoted in QUOTED
    if re.fullmatch(r"[\w.-]+(/[\w.-]+)*(/|\.(py|smk|rst|md|json|yaml))", quoted)
    and not quoted.startswith("results/")
)


@pytest.mark.parametrize(("module", "name"), CODE)
def test_code_is_where_the_documentation_says(module: str, name: str):
    assert reduce(getattr, name.split("."), importlib.import_module(f"workflow_scripts.{module}"))


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_the_documentation_names_is_there(path: str):
    assert (ROOT / path).exists() or (ROOT / "workflow_scripts" / path).exists()


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: page.name)
def test_a_link_leads_somewhere(page: Path):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_page_of_the_paper_names_each_figure_and_table_of_the_report_and_no_other():
    page = (ROOT / "docs/paper.md").read_text()
    named = set(re.findall(r"`((?:figures|tables)/\w+)`", page))
    made = {*(f"figures/{name}" for name in FIGURES), *(f"tables/{name}" for name in TABLES)}
    assert named == made


def test_the_map_has_a_line_for_every_package():
    packages = {
        f"workflow_scripts/{file.parent.name}/"
        for file in ROOT.glob("workflow_scripts/*/__init__.py")
    }
    assert {path for path in QUOTED if re.fullmatch(r"workflow_scripts/\w+/", path)} == packages


def test_the_stage_that_contributing_runs_by_hand_runs(tmp_path: Path):
    page = (ROOT / "CONTRIBUTING.md").read_text()
    (shown,) = re.findall(r"^python (-m workflow_scripts probe .*?)^```", page, re.S | re.M)
    arguments = shlex.split(shown.replace("\\\n", ""))
    ids = [f"{i}" for i in range(40)]
    for file in arguments:
        if file.endswith("test.parquet"):
            write_pairs(tmp_path / file, ids)
        if file.endswith("predictions.parquet"):
            margins = np.random.default_rng(len(file)).normal(size=40)
            write_table(tmp_path / file, pa.table({"id": ids, "margin": margins}))
    subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, check=True
    )
    assert read_probe(f"{tmp_path}/probe.json")["settings"]["threshold"] == 0.9
