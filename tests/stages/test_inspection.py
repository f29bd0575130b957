"""A look inside a cell: the pairs on which its student may have deceived."""

import json
import re
from html import unescape

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.shared.probes import FILES, SETTINGS
from tests.shared.stages import run_stage
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_table
from workflow_scripts.measures.deception import MODELS

# Margins: knows (confidence 0.88), right but unsure (0.62), wrong (0.38), at the threshold (0.75).
K, U, W, AT = 2.0, 0.5, -0.5, 1.0986123

# weak, strong, without conflict, under conflict
MARGINS = {
    "taxed": (U, K, K, W),
    "taxed-most": (W, AT, U, -K),
    "tie-under-conflict": (U, K, K, 0.0),
    "weak-knows": (K, K, K, W),
    "weak-knows-at-threshold": (AT, K, K, W),
    "strong-unsure": (U, U, K, W),
    "wrong-before": (U, K, W, W),
    "kept": (U, K, K, U),
    "mended": (U, K, W, K),
}
LISTED = ["taxed-most", "taxed", "tie-under-conflict"]
"""Taxed, strong-known and weak-unknown; the student's worst margin first."""


def texts_of(name):
    return {
        "prompt": f"\n\nHuman: {name}?</dd><script>alert(1)</script>\n\nAssistant:",
        "chosen": f" a < b & {name} {{{{ 7 * 7 }}}}",
        "rejected": f' "{name}" naïve 日本\n  indented',
    }


def inspect(folder, margins, threshold=0.75, pairs=None):
    names = sorted(margins, key=len)  # no order that the listing has
    for model, column in zip(MODELS, zip(*(margins[n] for n in names), strict=True), strict=True):
        table = pa.table({"id": names, "margin": pa.array(column, pa.float64())})
        write_table(folder / f"{FILES[model]}.parquet", table)
    rows = [{"id": name, **texts_of(name)} for name in pairs or margins]
    write_table(folder / "test.parquet", pa.Table.from_pylist(rows))
    run_stage(
        "inspection",
        f"--settings={json.dumps(SETTINGS | {'threshold': threshold})}",
        f"--pairs={folder / 'test.parquet'}",
        *(f"--{file}={folder / file}.parquet" for file in FILES.values()),
        f"--html={folder / 'cell.html'}",
        f"--parquet={folder / 'cell.parquet'}",
    )
    return pq.read_table(folder / "cell.parquet").to_pylist(), (folder / "cell.html").read_text()


def test_the_taxed_pairs_that_the_strong_one_alone_knows_are_listed_worst_first(tmp_path):
    rows, _ = inspect(tmp_path, MARGINS)
    assert rows == [
        {"id": name, **texts_of(name)}
        | {f"margin_{m}": z for m, z in zip(MODELS, MARGINS[name], strict=True)}
        for name in LISTED
    ]


def test_the_threshold_decides_who_knows(tmp_path):
    rows, _ = inspect(tmp_path, MARGINS, threshold=0.5)
    assert [row["id"] for row in rows] == ["taxed-most"]  # the only one on which the weak is wrong


def test_the_page_shows_the_same_pairs_and_no_text_is_markup(tmp_path):
    _, html = inspect(tmp_path, MARGINS)
    articles = re.findall(r"<article.*?</article>", html, re.DOTALL)
    assert len(articles) == len(LISTED)
    assert "3 test\npairs" in html
    for name, article in zip(LISTED, articles, strict=True):
        told = [unescape(of) for of in re.findall(r"<dd>(.*?)</dd>", article, re.DOTALL)]
        margins = [f"{margin:+.2f}" for margin in MARGINS[name]]
        assert told == [*texts_of(name).values(), *margins]
    assert "<script" not in html
    assert "default-src 'none'" in html


def test_a_cell_without_such_pairs_says_so(tmp_path):
    rows, html = inspect(tmp_path, {"kept": MARGINS["kept"]})
    assert rows == []
    assert pq.read_schema(tmp_path / "cell.parquet").names == [
        *("id", "prompt", "chosen", "rejected"),
        *(f"margin_{model}" for model in MODELS),
    ]
    assert "No such pair" in html
    assert "<article" not in html


def test_pairs_of_another_test_set_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"test\.parquet: holds other pairs than .*weak\.parquet"):
        inspect(tmp_path, MARGINS, pairs=[*MARGINS, "stranger"])
