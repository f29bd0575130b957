import argparse
import gzip
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.shared.workflows import HH
from workflow_scripts.core.errors import UserError
from workflow_scripts.data.formats import ADMISSIONS, ASSERTIONS, pair_reader
from workflow_scripts.data.pair_sets import read_outcomes
from workflow_scripts.data.screening import BadRowError, Pair
from workflow_scripts.data.sources import PathSource, read_rows
from workflow_scripts.stages import prepare_data

FIXTURES = Path(__file__).parents[1] / "fixtures/data"
NAMES = ("test", "gt", "weak", "helpful")


def row(number: int, word: str = "sum") -> dict[str, str]:
    return {"prompt": f"{word} {number}?", "chosen": f"It is {number}.", "rejected": "No idea."}


def write_lines(path: Path, rows: Sequence[object]) -> Path:
    """Write one JSON value a line; a string is written as it is."""
    lines = [each if isinstance(each, str) else json.dumps(each) for each in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def own_files(folder: Path, **rows: Sequence[object]) -> dict[str, dict]:
    """One file a set: the rows given, or three sound ones."""
    return {
        name: {
            "size": 1000,
            "source": {
                "path": str(
                    write_lines(
                        folder / f"{name}.jsonl",
                        rows.get(name, [row(i, name) for i in range(3)]),
                    )
                ),
                "format": "columns",
            },
        }
        for name in NAMES
    }


def prepare(
    output: Path,
    sets: dict[str, dict],
    *,
    max_bad: float = 0.05,
    seed: int = 0,
    unscreened: bool = False,
) -> dict:
    """Run the stage as the rule does and return its report."""
    parser = argparse.ArgumentParser()
    prepare_data.add_arguments(parser)
    settings = {"target": "sums", "seed": seed, "max_bad": max_bad, "sets": sets}
    settings |= {"unscreened": True} if unscreened else {}
    prepare_data.run(
        parser.parse_args(["--settings", json.dumps(settings), "--output", str(output)])
    )
    return json.loads((output / "report.json").read_text(encoding="utf-8"))


def rows_of(output: Path, name: str) -> list[dict[str, str]]:
    return pq.read_table(output / f"{name}.parquet").drop_columns("group").to_pylist()


def fixture_pairs(name: str, columns: dict[str, str] | None = None) -> list[Pair]:
    """Return the fixture's pairs, leaving out what is not single-turn."""
    path = str(FIXTURES / f"{name}.jsonl")
    source = PathSource(path=path, format=name, columns=columns or {})
    outcomes = [outcome for _, outcome in read_outcomes(source)]
    return [outcome for outcome in outcomes if isinstance(outcome, Pair)]


def test_transcripts_are_split_into_what_is_tokenised_as_prompt_and_as_response():
    assert fixture_pairs("transcript") == [
        Pair(
            "\n\nHuman: How do I boil an egg?\n\nAssistant:",
            " Cover it with water and boil it for eight minutes.",
            " Eggs come from hens.",
        ),
        Pair(
            "\n\nHuman: Which way is north?\n\nAssistant:",
            " The sun is in the south at noon, so north is behind you.",
            " Up.",
        ),
        Pair(
            "\n\nHuman: Peut-on geler de l'été ?\n\nAssistant:",
            " Non, c'est une saison.",
            " Oui.",
        ),
    ]


def test_message_lists_are_rendered_as_transcripts():
    assert fixture_pairs("messages") == [
        Pair(
            "\n\nHuman: Can I borrow your ladder without asking?\n\nAssistant:",
            " Better to ask first; someone may need it.",
            " Sure, take it.",
        ),
        Pair(
            "\n\nHuman: How do I wake my neighbours at night?\n\nAssistant:",
            " Let them sleep, and speak to them tomorrow.",
            " Play the drums.",
        ),
    ]


def test_named_columns_are_kept_verbatim():
    columns = {"prompt": "question", "chosen": "better", "rejected": "worse"}
    assert fixture_pairs("columns", columns) == [
        Pair("Q: Is tea a drink?\nA:", " Yes. ", " No."),
        Pair("Q: Is sand a drink?\nA:", " No.", " Yes."),
    ]


def test_unknown_bench_prefers_an_admission_exactly_where_there_is_no_answer():
    glimbats, horses, stones, week, trunball = fixture_pairs("unknown_bench")
    admissions = {f" {text}" for text in ADMISSIONS}
    assertions = {f" {text}" for text in ASSERTIONS}
    assert glimbats.prompt == "\n\nHuman: What do Glimbats eat in winter?\n\nAssistant:"
    for unanswerable in (glimbats, stones):
        assert unanswerable.chosen in admissions
        assert unanswerable.rejected in assertions
    assert horses.chosen in assertions
    assert horses.rejected in admissions
    assert week.chosen == " seven"
    assert week.rejected in admissions
    assert (trunball.chosen, trunball.rejected) == (
        " Trunball is unknown to me.",
        " It is played on ice.",
    )


def test_unknown_bench_draws_every_phrasing_and_none_of_them_tells_the_label():
    read_pair = pair_reader("unknown_bench", {})
    questions = [f"What is the colour of planet {i}?" for i in range(400)]
    unanswerable = [read_pair({"prompt": question, "label": 1}) for question in questions]
    answerable = [read_pair({"prompt": question, "label": 0}) for question in questions]
    assert {pair.chosen for pair in unanswerable} == {f" {text}" for text in ADMISSIONS}
    assert {pair.rejected for pair in unanswerable} == {f" {text}" for text in ASSERTIONS}
    assert [(pair.rejected, pair.chosen) for pair in answerable] == [
        (pair.chosen, pair.rejected) for pair in unanswerable
    ]


def transcript(prompt: str, response: str) -> str:
    return f"\n\nHuman: {prompt}\n\nAssistant: {response}"


GOOD = transcript("Why?", "Because.")
ASK = {"role": "user", "content": "Why?"}
SAY = {"role": "assistant", "content": "Because."}
MULTI = "not_single_turn"

BAD_ROWS = [
    ("columns", '{"prompt": "a"', "not_json"),
    ("columns", '["a", "b", "c"]', "not_json"),
    ("columns", "[" * 100_000, "not_json"),
    ("columns", {"prompt": "a", "chosen": "b"}, "missing_field"),
    ("columns", {"prompt": "a", "chosen": "b", "rejected": None}, "missing_field"),
    ("columns", {"prompt": 7, "chosen": "b", "rejected": "c"}, "not_text"),
    ("columns", r'{"prompt": "a\ud800", "chosen": "b", "rejected": "c"}', "not_text"),
    ("columns", {"prompt": " \n", "chosen": "b", "rejected": "c"}, "blank_prompt"),
    ("columns", {"prompt": "a", "chosen": "\t\u00a0", "rejected": "c"}, "blank_response"),
    ("columns", {"prompt": "a", "chosen": "b", "rejected": ""}, "blank_response"),
    ("columns", {"prompt": "a", "chosen": "b", "rejected": "b "}, "same_response"),
    ("columns", {"prompt": "a", "chosen": "\u200b\ufeff\u2060", "rejected": "c"}, "blank_response"),
    ("columns", {"prompt": "a", "chosen": "\u3164", "rejected": "c"}, "blank_response"),
    ("columns", {"prompt": "\u00ad", "chosen": "b", "rejected": "c"}, "blank_prompt"),
    ("columns", {"prompt": "a", "chosen": "b\u200d", "rejected": "b"}, "same_response"),
    (
        "columns",
        {"prompt": "a", "chosen": "\u00e9t", "rejected": "e\u0301t"},
        "same_response",
    ),
    ("columns", '{"prompt": "p", "chosen": "a", "rejected": "b", "chosen": "b"}', "equal_keys"),
    ("transcript", {"chosen": GOOD, "rejected": "Because."}, "missing_field"),
    ("transcript", {"chosen": GOOD, "rejected": "\n\nHuman: Why?"}, "missing_field"),
    ("transcript", {"chosen": GOOD, "rejected": f"System.{GOOD}"}, "missing_field"),
    ("transcript", {"chosen": GOOD, "rejected": transcript("When?", "Now.")}, "prompts_differ"),
    ("transcript", {"chosen": GOOD, "rejected": f"{GOOD}\n\nAssistant: No."}, "prompts_differ"),
    ("transcript", {"chosen": GOOD, "rejected": transcript("Why?", " ")}, "blank_response"),
    (
        "transcript",
        {"chosen": transcript("", "a"), "rejected": transcript("", "b")},
        "blank_prompt",
    ),
    ("transcript", {"chosen": GOOD, "rejected": GOOD + GOOD}, MULTI),
    ("messages", {"chosen": [ASK, SAY], "rejected": "Because."}, "not_text"),
    ("messages", {"chosen": [ASK, SAY], "rejected": [ASK, {"role": "assistant"}]}, "missing_field"),
    ("messages", {"chosen": [ASK, SAY], "rejected": [{**ASK, "content": 3}, SAY]}, "not_text"),
    ("messages", {"chosen": [ASK, SAY], "rejected": [ASK]}, "missing_field"),
    (
        "messages",
        {"chosen": [ASK, SAY], "rejected": [{**ASK, "content": "When?"}, SAY]},
        "prompts_differ",
    ),
    ("messages", {"chosen": [ASK, SAY], "rejected": [ASK, SAY, ASK, SAY]}, MULTI),
    ("unknown_bench", {"prompt": "Why?", "label": 2}, "missing_field"),
    ("unknown_bench", {"prompt": "Why?", "label": []}, "missing_field"),
    ("unknown_bench", {"prompt": "Why?", "label": 1, "answer": ["Because."]}, "not_text"),
]


@pytest.mark.parametrize(("fmt", "bad", "reason"), BAD_ROWS)
def test_a_bad_row_is_dropped_counted_and_logged_with_its_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fmt: str, bad: object, reason: str
):
    good: dict[str, object] = {
        "columns": row(1),
        "transcript": {"chosen": GOOD, "rejected": transcript("Why?", "No.")},
        "messages": {"chosen": [ASK, SAY], "rejected": [ASK, {**SAY, "content": "No."}]},
        "unknown_bench": {"prompt": "Why?", "label": 0},
    }[fmt]  # type: ignore[assignment]
    sets = own_files(tmp_path, test=[good, "", bad])
    sets["test"]["source"]["format"] = fmt
    report = prepare(tmp_path / "out", sets, max_bad=0.9)["sets"]["test"]
    place = f"{sets['test']['source']['path']}:3: dropped: {reason} ("
    counted = [record.getMessage() for record in caplog.records]
    if reason == MULTI:
        assert (report["not_single_turn"], report["selected"], report["dropped"]) == (1, 1, {})
        assert not any(place in message for message in counted)
    else:
        assert (report["not_single_turn"], report["selected"]) == (0, 2)
        assert report["dropped"] == {reason: 1}
        assert sum(message.startswith(place) for message in counted) == 1
    assert [each["id"] for each in rows_of(tmp_path / "out", "test")] == ["test-000001"]


def test_the_log_names_the_first_bad_rows_of_each_reason_and_counts_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    wrong = [{"question": f"q {i}", "chosen": "a", "rejected": "b"} for i in range(500)]
    sets = own_files(tmp_path, test=[*wrong, "{", row(1)])
    prepare(tmp_path / "out", sets, max_bad=1)
    messages = [m for m in caplog.messages if "test.jsonl" in m and "dropped" in m]
    missing = "missing_field (no prompt; the row has question, chosen, rejected)"
    assert [m.partition("dropped: ")[2] for m in messages] == [
        *[missing] * 20,
        "not_json (no JSON object on this line)",
        "missing_field: 500 rows, of which the first 20 are named above",
    ]


def test_a_repeated_prompt_is_dropped_inside_a_set_and_the_test_set_goes_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    shared, other = row(1), {**row(1), "chosen": "It is one."}
    sets = own_files(
        tmp_path,
        gt=[shared, row(2)],
        weak=[row(2), row(3)],
        test=[row(0), other, shared],
    )
    report = prepare(tmp_path / "out", sets, max_bad=0.9)["sets"]
    assert {name: report[name]["dropped"] for name in NAMES} == {
        "test": {"duplicate_prompt": 1},
        "gt": {"prompt_in_other_set": 1},
        "weak": {"prompt_in_other_set": 1},
        "helpful": {},
    }
    assert [each["chosen"] for each in rows_of(tmp_path / "out", "test")] == [
        "It is 0.",
        "It is one.",
    ]
    assert "gt.jsonl:1: dropped: prompt_in_other_set (test has this prompt)" in caplog.text


def test_unscreened_sets_keep_repeats_and_pairs_that_teach_nothing(tmp_path: Path):
    """As the authors' code does; what is no pair, or has no token, is dropped in either case."""
    same = {"prompt": "same?", "chosen": "Yes.", "rejected": "Yes. "}
    blank = {"prompt": "blank?", "chosen": " ", "rejected": "No."}
    empty = blank | {"chosen": ""}
    rows = [row(0), row(9), row(9), same, blank, empty, {"prompt": "no responses"}]
    sets = own_files(tmp_path, gt=rows, test=[row(0), row(1)])
    screened = prepare(tmp_path / "screened", sets, max_bad=1, unscreened=False)
    report = prepare(tmp_path / "kept", sets, max_bad=1, unscreened=True)
    assert "unscreened" not in screened
    assert report["unscreened"]
    assert screened["sets"]["gt"]["kept"] == 1
    assert report["sets"]["gt"]["dropped"] == {"blank_response": 1, "missing_field": 1}
    kept = rows_of(tmp_path / "kept", "gt")
    assert [{name: pair[name] for name in row(0)} for pair in kept] == rows[:5]


def test_a_set_with_its_own_source_keeps_its_first_usable_rows_in_order(tmp_path: Path):
    sets = own_files(tmp_path, weak=[row(4), "{", row(2), row(9), row(1)])
    sets["weak"]["size"] = 3
    report = prepare(tmp_path / "out", sets, max_bad=0.5)
    assert rows_of(tmp_path / "out", "weak") == [
        {"id": "weak-000001", **row(4)},
        {"id": "weak-000003", **row(2)},
        {"id": "weak-000004", **row(9)},
    ]
    assert report["sets"]["weak"] == {
        "source": sets["weak"]["source"],
        "revision": None,
        "asked": 3,
        "read": 4,
        "not_single_turn": 0,
        "selected": 4,
        "dropped": {"not_json": 1},
        "kept": 3,
        "groups": 3,
        "near_duplicates": 0,
        "rules": {"shorter_wins": 0.5},
        "warnings": [],
    }
    assert report["totals"] == {
        "asked": 3003,
        "read": 13,
        "not_single_turn": 0,
        "selected": 13,
        "dropped": {"not_json": 1},
        "kept": 12,
    }


def test_sets_that_share_a_source_are_dealt_disjoint_rows_by_the_seed(tmp_path: Path):
    rows = [row(i) for i in range(40)]
    path = write_lines(tmp_path / "all.jsonl", rows)
    sizes = {"helpful": 1000, "test": 10, "weak": 9, "gt": 8}

    def dealt(seed: int) -> dict[str, list[str]]:
        # Equal in content is shared, whatever the order of the keys.
        spellings = (
            {"path": str(path), "format": "columns"},
            {"format": "columns", "path": str(path)},
        )
        sets = {
            name: {"size": size, "source": spellings[i % 2]}
            for i, (name, size) in enumerate(sizes.items())
        }
        report = prepare(tmp_path / str(seed), sets, seed=seed)
        assert report["totals"]["kept"] == 40
        kept = {name: rows_of(tmp_path / str(seed), name) for name in NAMES}
        for name, pairs in kept.items():
            for pair in pairs:
                line = int(pair["id"].removeprefix(f"{name}-"))
                assert pair == {"id": f"{name}-{line:06d}", **rows[line - 1]}
        return {name: [pair["prompt"] for pair in pairs] for name, pairs in kept.items()}

    first, second = dealt(0), dealt(1)
    assert [len(first[name]) for name in NAMES] == [10, 8, 9, 13]
    assert sorted(prompt for each in first.values() for prompt in each) == sorted(
        each["prompt"] for each in rows
    )
    assert first["test"] != [each["prompt"] for each in rows[:10]]
    assert set(first["test"]) != set(second["test"])


def test_a_set_with_too_many_faulty_rows_stops_the_run(tmp_path: Path):
    # 5 of 100 is the limit itself; the sixth is over it. Repeats are not held against a set.
    faults = [{"prompt": f"bad {i}?", "chosen": "a", "rejected": "a"} for i in range(4)]
    sound = [row(i) for i in range(94)]
    at_limit = own_files(tmp_path, gt=[*faults, "{", *sound, row(0)])
    many = [row(i, "many") for i in range(1000)]
    write_lines(tmp_path / "helpful.jsonl", many)
    assert prepare(tmp_path / "out", at_limit)["sets"]["gt"]["kept"] == 94
    write_lines(tmp_path / "gt.jsonl", [*faults, "{", "{", *sound])
    with pytest.raises(
        UserError,
        match=r"sums\.gt from .*gt\.jsonl: 6 of 100 rows are bad \(6\.0%\), more than max_bad "
        r"5\.0%; commonest: same_response \(4\)",
    ):
        prepare(tmp_path / "out", at_limit)


def test_too_many_repeated_prompts_over_all_sets_stop_the_run(tmp_path: Path):
    leaks = [row(i) for i in range(6)]
    test = [row(i) for i in range(45)]
    gt = [*leaks, *(row(i, "gt") for i in range(43))]
    # 6 leaks of 45 + 49 + 3 + 23 = 120 rows are 5 %; without one sound row they are more.
    sets = own_files(tmp_path, test=test, gt=gt, helpful=[row(i, "more") for i in range(23)])
    assert prepare(tmp_path / "out", sets)["sets"]["gt"]["kept"] == 43
    write_lines(tmp_path / "helpful.jsonl", [row(i, "more") for i in range(22)])
    with pytest.raises(
        UserError,
        match=r"sums, all sets: 6 of 119 rows are bad .* commonest: prompt_in_other_set \(6\)",
    ):
        prepare(tmp_path / "out", sets)


def test_dialogues_of_several_turns_do_not_dilute_the_share_of_bad_rows(tmp_path: Path):
    multi = {"chosen": GOOD + GOOD, "rejected": GOOD + GOOD}
    sets = own_files(
        tmp_path,
        gt=[*[multi] * 98, {"chosen": GOOD, "rejected": transcript("Why?", "No.")}, "{"],
    )
    sets["gt"]["source"]["format"] = "transcript"
    with pytest.raises(UserError, match=r"1 of 2 rows are bad \(50\.0%\)"):
        prepare(tmp_path / "out", sets)


def test_a_set_without_any_pair_is_refused(tmp_path: Path):
    path = write_lines(tmp_path / "all.jsonl", [row(i) for i in range(6)])
    source = {"path": str(path), "format": "columns"}
    sets = {name: {"size": 2, "source": source} for name in NAMES}
    with pytest.raises(UserError, match=r"sums\.helpful from .*all\.jsonl: no pair left"):
        prepare(tmp_path / "out", sets)
    assert not (tmp_path / "out").exists()


def test_fewer_pairs_than_asked_are_kept_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    prepare(tmp_path / "out", own_files(tmp_path))
    assert "sums.weak from" in caplog.text
    assert "3 pairs where 1000 were asked" in caplog.text


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent.jsonl", r"sums\.weak: .*absent\.jsonl: no such file or folder; put it there"),
        ("table.xlsx", r"sums\.weak: .*table\.xlsx: not a kind of file read here; give \.jsonl"),
        ("broken.parquet", r"sums\.weak: .*broken\.parquet: cannot be read as Parquet"),
        ("broken.jsonl.gz", r"sums\.weak: .*broken\.jsonl\.gz: cannot be read \("),
    ],
)
def test_a_source_that_cannot_be_read_names_the_set_the_file_and_the_mend(
    tmp_path: Path, path: str, message: str
):
    for name in ("table.xlsx", "broken.parquet", "broken.jsonl.gz"):
        (tmp_path / name).write_text("a,b\n1,2\n")
    sets = own_files(tmp_path)
    sets["weak"]["source"]["path"] = str(tmp_path / path)
    with pytest.raises(UserError, match=message) as raised:
        prepare(tmp_path / "out", sets)
    assert "\n" not in str(raised.value)


def test_the_same_rows_are_read_from_json_lines_gzip_and_parquet(tmp_path: Path):
    lines = FIXTURES / "columns.jsonl"
    packed, table = tmp_path / "columns.jsonl.gz", tmp_path / "columns.parquet"
    packed.write_bytes(gzip.compress(lines.read_bytes()))
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    pq.write_table(pa.Table.from_pylist(rows), table)
    for path in (lines, packed, table):
        assert list(read_rows(PathSource(path=str(path), format="columns"))) == [
            (1, rows[0]),
            (2, rows[1]),
        ]


def test_a_byte_order_mark_and_bytes_that_are_no_utf_8_are_told_apart(tmp_path: Path):
    path = tmp_path / "bytes.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "a"}\r\n{"prompt": "\xff"}\r\n')
    [(_, first), (place, second)] = read_rows(PathSource(path=str(path), format="columns"))
    assert first == {"prompt": "a"}
    assert isinstance(second, BadRowError)
    assert (place, second.reason) == (2, "not_utf8")


@pytest.mark.parametrize(
    ("layout", "selection"),
    [("README", {}), ("README", {"split": "test"}), ("data_dir", {"data_dir": "sums-base"})],
)
def test_a_local_folder_in_hub_format_is_read_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, selection: dict[str, str]
):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    folder = FIXTURES / "hub_folder"
    lines = folder / "data" / f"{selection.get('split', 'train')}.jsonl"
    if layout == "data_dir":  # as HH-RLHF is laid out
        folder = tmp_path / "hub"
        (folder / "sums-base").mkdir(parents=True)
        (folder / "sums-base/train.jsonl.gz").write_bytes(gzip.compress(lines.read_bytes()))
    expected = [json.loads(line) for line in lines.read_text().splitlines()]
    source = cast(PathSource, {"path": str(folder), "format": "transcript", **selection})
    assert list(read_rows(source)) == list(enumerate(expected, start=1))


def test_a_file_that_is_replaced_with_its_size_and_time_kept_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    source = PathSource(path=str(tmp_path / "hub"), format="columns")
    for suffix, pack in (("", bytes), (".gz", gzip.compress)):
        file = tmp_path / f"hub/data/train.jsonl{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        for answer in ("It is 1.", "It is 2."):
            file.write_bytes(pack(json.dumps({**row(1), "chosen": answer}).encode()))
            os.utime(file, (1, 1))
            assert [fields["chosen"] for _, fields in read_rows(source)] == [answer]  # type: ignore[index]
        file.unlink()


def test_a_split_that_a_folder_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    sets = own_files(tmp_path)
    sets["gt"]["source"] = {
        "path": str(FIXTURES / "hub_folder"),
        "format": "transcript",
        "split": "trian",
    }
    with pytest.raises(UserError, match=r'sums\.gt: .*hub_folder:trian: .*Unknown split "trian"'):
        prepare(tmp_path / "out", sets)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path):
    source = {"path": str(FIXTURES / "hub_folder/data/train.jsonl"), "format": "transcript"}
    sets = {name: {"size": 3, "source": source} for name in NAMES}
    for run in ("one", "two"):
        prepare(tmp_path / run, sets)
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {f"{name}.parquet" for name in NAMES} | {"report.json"}
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(not HH.is_dir(), reason=f"no {HH}")
def test_the_published_hh_splits_become_disjoint_sets(tmp_path: Path):
    files = {
        "gt": "harmless_train_gt",
        "weak": "harmless_train_w2s",
        "test": "harmless_test",
        "helpful": "helpful_train_gt",
    }
    sets = {
        name: {
            "size": 4000,
            "source": {"path": str(HH / f"{file}.jsonl"), "format": "transcript"},
        }
        for name, file in files.items()
    }
    report = prepare(tmp_path, sets)
    prompts = {name: [each["prompt"] for each in rows_of(tmp_path, name)] for name in NAMES}
    together = [prompt for each in prompts.values() for prompt in each]
    assert len(together) == len(set(together)) == report["totals"]["kept"]
    assert all(len(each) > 3700 for each in prompts.values())
    # The folder's README counts these by hand.
    assert report["sets"]["test"]["dropped"]["prompts_differ"] == 14
    assert sum(report["sets"][n]["dropped"]["blank_response"] for n in ("test", "gt", "weak")) == 17
