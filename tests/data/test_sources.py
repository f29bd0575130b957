"""Kinds of files and folders, and what is answered to those that cannot be read."""

import gzip
import json
from pathlib import Path
from typing import Any, cast

import pytest

from workflow_scripts.core.errors import UserError
from workflow_scripts.data.screening import BadRowError
from workflow_scripts.data.sources import HubSource, PathSource, read_rows

ROWS = [
    {"prompt": "7", "chosen": 'a "b",\n\tNA', "rejected": "NA"},
    {"prompt": "q é", "chosen": "0.10", "rejected": "true"},
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", cache)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    return cache


def read(path: Path, **keys: str) -> list[dict[str, Any]]:
    source = cast(PathSource, {"path": str(path), "format": "columns", **keys})
    rows = list(read_rows(source))
    assert [number for number, _ in rows] == list(range(1, len(rows) + 1))
    return [cast("dict[str, Any]", row) for _, row in rows]


def table(separator: str) -> str:
    quoted = [['"' + value.replace('"', '""') + '"' for value in row.values()] for row in ROWS]
    return "\n".join(separator.join(line) for line in [list(ROWS[0]), *quoted]) + "\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a b[1].csv", table(",")),
        ("a.csv", "\ufeff" + table(",")),
        ("a.csv.gz", table(",")),
        ("a.tsv", table("\t")),
        ("a.json", json.dumps(ROWS)),
        ("a.json", "\ufeff" + json.dumps(ROWS, indent=2, ensure_ascii=False)),
        ("a.json.gz", "\n" + json.dumps(ROWS)),
        ("a.json", "\n".join(map(json.dumps, ROWS))),
    ],
)
def test_the_same_rows_are_read_from_tables_and_arrays_as_text(
    tmp_path: Path, own_cache: Path, name: str, text: str
):
    path = tmp_path / name
    content = text.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert read(path) == ROWS
    assert not list(own_cache.glob("*"))


def test_a_folder_of_save_to_disk_is_read_and_its_splits_are_named(tmp_path: Path):
    from datasets import Dataset, DatasetDict

    one = Dataset.from_list(ROWS)
    one.save_to_disk(tmp_path / "one")
    DatasetDict({"train": one, "test": one.select([1])}).save_to_disk(tmp_path / "several")
    assert read(tmp_path / "one") == ROWS
    assert read(tmp_path / "several") == ROWS
    assert read(tmp_path / "several", split="test") == ROWS[1:]
    with pytest.raises(
        UserError, match=r"several: no split 'val'; set `split` to one of train, test"
    ):
        read(tmp_path / "several", split="val")


def test_the_configurations_of_a_folder_are_listed_with_the_key_that_names_one(tmp_path: Path):
    folder = tmp_path / "hub"
    configs = "".join(f"- config_name: {n}\n  data_files: {n}.jsonl\n" for n in ("safe", "useful"))
    folder.mkdir()
    (folder / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    for name in ("safe", "useful"):
        (folder / f"{name}.jsonl").write_text(json.dumps({**ROWS[0], "prompt": name}))
    with pytest.raises(
        UserError, match="name one of safe, useful as the source's `config`"
    ) as raised:
        read(folder)
    assert "\n" not in str(raised.value)
    assert [row["prompt"] for row in read(folder, config="useful")] == ["useful"]


def test_of_the_cache_of_the_hub_only_the_commit_that_is_asked_for_is_taken(
    tmp_path: Path, own_cache: Path
):
    from datasets import Dataset, DatasetInfo, SplitDict, SplitInfo
    from datasets.arrow_writer import ArrowWriter

    commit, other = "a" * 40, "b" * 40
    kept = own_cache / f"owner___data/default/0.0.0/{commit}"
    kept.mkdir(parents=True)
    with ArrowWriter(path=str(kept / "data-train.arrow")) as writer:
        for row in ROWS:
            writer.write(row)
        size = writer.finalize()
    features = Dataset.from_list(ROWS).features
    info = DatasetInfo(
        features=features, config_name="default", dataset_name="data", version="0.0.0"
    )
    info.splits = SplitDict()
    info.splits.add(SplitInfo("train", num_examples=size[0], dataset_name="data"))
    info.write_to_directory(str(kept))

    def rows(revision: str) -> list[object]:
        source = HubSource(hub="owner/data", revision=revision, format="columns")
        return [row for _, row in read_rows(source)]

    assert rows(commit) == ROWS
    assert rows("main") == ROWS
    with pytest.raises(
        UserError,
        match=f"@{other}:train: `hub` cannot be reached, .* another commit \\({commit}\\)",
    ):
        rows(other)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.jsonl",
            '{"prompt": "é"}'.encode("utf-16"),
            "a.jsonl: UTF-16, not UTF-8; convert it: iconv",
        ),
        ("a.json", '[{"prompt": "é"}]'.encode("utf-16-le"), "a.json: UTF-16, not UTF-8"),
        ("a.csv", "prompt\né\n".encode("utf-32"), "a.csv: UTF-32, not UTF-8"),
        ("a.csv", "prompt\né\n".encode("latin-1"), "a.csv: not UTF-8, perhaps latin-1; convert it"),
        ("a.json", '[{"prompt": "é"}]'.encode("latin-1"), "a.json: not UTF-8, perhaps latin-1"),
        ("a.json", b'[{"prompt": ', r"a.json: cannot be read as a JSON array \(Expecting value"),
        ("a.csv", b"prompt,prompt\na,b\n", "'prompt' is the name of several columns"),
        ("a.csv", b"", "a.csv: no columns"),
        (
            "a.csv",
            b"a,b\n1,2,3\n4,5,6,7\n",
            "a.csv: cannot be opened as a data set .* fix or replace it",
        ),
    ],
)
def test_what_cannot_be_read_is_one_line_with_the_encoding_or_the_fault(
    tmp_path: Path, name: str, content: bytes, message: str
):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        read(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_bad_rows_of_an_array_have_their_reasons_and_the_others_are_read(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text('[{"a": 1}, {"a": 1, "a": 2}, [3], {"a": [{"b": 1, "b": 1}]}, {"a": 4}]')
    rows = list(read_rows(PathSource(path=str(path), format="columns")))
    found = [row.reason if isinstance(row, BadRowError) else row for _, row in rows]
    assert found == [{"a": 1}, "equal_keys", "not_json", "equal_keys", {"a": 4}]
