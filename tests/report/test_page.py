"""The report's page and tables, the page in a real browser."""

import json
import re
import shutil
import subprocess
from base64 import b64decode

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.shared.page import DATA, RECORD, SETTINGS
from tests.shared.stages import run_stage
from tests.shared.workflows import ROOT
from workflow_scripts.core.files import write_table
from workflow_scripts.report.cell_table import as_table
from workflow_scripts.report.cells import Rows, packed
from workflow_scripts.report.figure_list import FIGURES
from workflow_scripts.report.tables import TABLES
from workflow_scripts.report.written_table import FORMATS

pytestmark = pytest.mark.xdist_group("figures")

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def html(table, drawn, tmp_path_factory):
    return written(table, drawn, tmp_path_factory.mktemp("report") / "results/report")


def written(table, drawn, folder):
    """Write a page in ``folder``, with its own figures, and return its path."""
    shutil.copytree(drawn, folder / "figures")
    record, data = folder.parent / "train.json", folder.parent / "harmlessness/report.json"
    data.parent.mkdir()
    record.write_text(json.dumps(RECORD))
    data.write_text(json.dumps(DATA))
    given = ("--cells", table, "--figures", folder / "figures", "--output", folder / "index.html")
    run_stage(
        "page", *given, "--settings", json.dumps(SETTINGS), "--data", data, "--records", record
    )
    return folder / "index.html"


def in_browser(html, script, width=1280):
    """Return what ``script`` leaves in the title of the page, run in a frame of that width."""
    driven, frame = (html.with_name(f"{name}-{width}.html") for name in ("driven", "frame"))
    told = f"<script>{script}; parent.postMessage(document.title, '*')</script></body>"
    driven.write_text(html.read_text().replace("</body>", told))
    # A window can't be as narrow as a telephone, a frame can.
    frame.write_text(
        f'<iframe src="{driven.name}" style="width: {width}px; height: 900px; border: 0"></iframe>'
        "<script>onmessage = told => { document.title = told.data; }</script>"
    )
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000")
    ran = subprocess.run(
        [str(CHROMIUM), *options, "--dump-dom", frame.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found = re.search(r"<title>(.*?)</title>", ran.stdout, re.DOTALL)
    assert found
    return json.loads(found[1])


needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: apt-get install chromium"
)


def test_the_page_refers_to_nothing_outside_but_probes(html, probes):
    text = html.read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#|[./])""", text)
    assert "http" not in re.sub(r"base64,[^\"]*|http-equiv", "", text)
    links = re.findall(r'href="([^#"]+)"', text)
    assert len(links) == len(probes)
    assert all((html.parent / link).is_file() for link in links)
    assert "<b>not bold</b>" not in text


def test_the_page_has_each_claim_figure_and_cell(html):
    text = html.read_text()
    assert len(re.findall(r"On this run: (?:holds|does not hold|too little data)", text)) == 4
    assert all(f'id="{name}-harmlessness"' in text for name in FIGURES)
    assert text.count('aria-label="Probe of ') == 24
    assert "Too little data: no student but the direct one was run" in text


@needs_chromium
def test_the_table_sorts_and_filters_by_keyboard(html):
    shown = in_browser(
        html,
        """
        const column = headings.indexOf("DS");
        const button = table.tHead.rows[0].cells[column].children[0];
        const values = () => [...body.rows].map(row => row.cells[column].textContent.split(" ")[0]);
        button.focus();
        const focused = document.activeElement === button;
        button.click(); const rising = values();
        button.click(); const falling = values();
        words.value = "dpo expl"; words.dispatchEvent(new Event("input"));
        const filtered = [...body.rows].map(row => row.textContent);
        document.title = JSON.stringify({focused, rising, falling, filtered,
          said: shown.textContent, sorted: button.parentElement.ariaSort});
        """,
    )
    assert shown["focused"]
    assert shown["sorted"] == "descending"
    for name, reverse in (("rising", False), ("falling", True)):
        values = [float(value) for value in shown[name] if value != "-"]
        assert values == sorted(values, reverse=reverse)
        assert shown[name][len(values) :] == ["-"] * 8  # without conflict no score: last either way
    assert len(shown["filtered"]) == 3
    assert shown["said"] == "3 of 24 cells"


@needs_chromium
def test_of_thousands_of_cells_the_page_draws_those_that_are_asked_for(html, tmp_path):
    text = html.read_text()
    found = re.search(r'id="rows">(.*?)</script>', text)
    assert found
    table = json.loads(found[1])
    many = [row | {"seed": seed} for seed in range(250) for row in table["rows"]]
    page = tmp_path / "index.html"
    page.write_text(text.replace(found[1], json.dumps(table | {"rows": many})))
    shown = in_browser(
        page,
        """
        const drawnNow = () => body.rows.length;
        const steps = [];
        table.tHead.rows[0].cells[headings.indexOf("seed")].children[0].click();
        steps.push(drawnNow()); more.click(); steps.push(drawnNow());
        words.value = "dpo expl small large"; words.dispatchEvent(new Event("input"));
        steps.push(drawnNow(), more.hidden);
        while (!more.hidden) more.click();
        steps.push(drawnNow());
        document.title = JSON.stringify(steps);
        """,
    )
    matching = sum(
        all(word in " ".join(row["names"]) for word in ("dpo", "expl", "small", "large"))
        for row in many
    )
    assert matching > 200
    assert shown == [200, 400, 200, False, matching]


def test_a_figure_that_is_slow_to_draw_is_shown_as_its_png(table, drawn, tmp_path, monkeypatch):
    sizes = {file: file.stat().st_size for file in drawn.glob("*.svg")}
    heaviest = max(sizes, key=sizes.__getitem__)
    monkeypatch.setattr("workflow_scripts.report.page.HEAVY", sorted(sizes.values())[-2])
    text = written(table, drawn, tmp_path / "report").read_text()
    shown = re.findall(r'<img src="data:image/([a-z+]+);base64,([^"]*)"', text)
    expected = [("svg+xml", file) for file in sizes if file != heaviest]
    expected.append(("png", heaviest.with_suffix(".png")))
    assert sorted((kind, b64decode(data)) for kind, data in shown) == sorted(
        (kind, file.read_bytes()) for kind, file in expected
    )


@needs_chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_only_tables_scroll_sideways_and_figures_fit_their_cards(html, width):
    shown = in_browser(
        html,
        """
        const beyond = [...document.images].filter(image =>
          image.getBoundingClientRect().width > image.parentElement.clientWidth + 1);
        const page = document.documentElement.scrollWidth;
        document.title = JSON.stringify([page, innerWidth, beyond.length, document.images.length]);
        """,
        width,
    )
    page_width, window_width, beyond, images = shown
    assert page_width <= window_width == width
    assert images == len(FIGURES), "each figure once"
    assert not beyond


def test_tables_show_each_cell_in_all_formats(table, tmp_path):
    run_stage("tables", "--cells", table, "--output", tmp_path)
    assert len(list(tmp_path.iterdir())) == len(FORMATS) * len(TABLES)
    rows = pq.read_table(table).to_pylist()
    of_cell = next(
        row
        for row in rows
        if row["scenario"] == "dpo" and row["conflict"] == "explicit" and row["effective_tax"] >= 10
    )
    few = [row for row in rows if row["seed"] == 0 and 0 < row["effective_tax"] < 10]
    assert ("(few)" in (tmp_path / "excess_deception.md").read_text()) == bool(few)
    text = (tmp_path / "deception_score.md").read_text()
    assert f"{of_cell['deception_score']:.2f} [{of_cell['deception_score_low']:.2f}, " in text
    assert "±" in text  # three seeds
    assert len(text.splitlines()) == 2 + 2 + 6
    latex = (tmp_path / "accuracies.tex").read_text()
    assert r"Accuracy on the test pairs: weak ceiling, student under each" in latex
    assert latex.count(r"\\") == 1 + 6
    assert "Too little data" in (tmp_path / "bootstrapping.tex").read_text()


def test_variants_stand_beside_their_direct_students(table, tmp_path):
    rows = [
        row | {"student": "direct", "through": "", "filter": None}
        for row in pq.read_table(table).to_pylist()
    ]
    changed = {"bootstrapped": ("medium", None), "confident": ("", 0.75)}
    more = [
        row | {"student": name, "through": through, "filter": least, "deception_score": 0.0}
        for name, (through, least) in changed.items()
        for row in rows
        if (row["weak"], row["strong"], row["conflict"]) == ("small", "large", "explicit")
    ]
    names = {name: [row[name] for row in rows + more] for name in ("student", "through")}
    numbers = [{k: v for k, v in row.items() if k not in names} for row in rows + more]
    columns = as_table(Rows(map(packed, numbers))).to_pydict() | names
    write_table(tmp_path / "cells.parquet", pa.table(columns))
    run_stage("tables", "--cells", tmp_path / "cells.parquet", "--output", tmp_path)
    compared = (tmp_path / "mitigations.csv").read_text().splitlines()[1:]
    assert [line.split(",")[1] for line in compared] == ["direct", *changed]
    for name in ("bootstrapping", "high_confidence"):
        body = (tmp_path / f"{name}.md").read_text().splitlines()[4:]
        assert len(body) == 2  # one a scenario
        for line in body:
            straight, variant, change = (part.split() for part in line.strip("| ").split("|")[-3:])
            assert float(variant[0]) == 0
            assert float(change[0]) == pytest.approx(-float(straight[0]))
    direct_only = (tmp_path / "deception_score.md").read_text()
    run_stage("tables", "--cells", table, "--output", tmp_path / "without")
    assert (tmp_path / "without/deception_score.md").read_text() == direct_only


def test_every_figure_has_a_module_and_a_caption():
    for name in FIGURES:
        assert (ROOT / f"workflow_scripts/report/figures/{name}.py").is_file()
        assert FIGURES[name].caption.endswith(".")
