"""Rows as people publish them, and the pairs that are made of them."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from workflow_scripts.core.errors import UserError
from workflow_scripts.data.filled_sets import FilledSet
from workflow_scripts.data.formats import pair_reader
from workflow_scripts.data.pair_sets import FILLING_ORDER, fill_sets
from workflow_scripts.data.screening import BadRowError, Pair


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def answer(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


BRIEF = {"role": "system", "content": "Be brief."}
TALK = [user("Hi"), answer("Hello."), user("Name a fruit.")]
TALK_TEXT = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Name a fruit.\n\nAssistant:"
FRUIT = Pair(TALK_TEXT, " Apple.", " Chair.")
SKY = Pair("\n\nHuman: What colour is the sky?\n\nAssistant:", " Blue.", " Green.")
BRIEF_SKY = Pair(f"Be brief.{SKY.prompt}", " Blue.", " Green.")

DIALOGUES: list[tuple[str, Mapping[str, Any], Pair]] = [
    (
        "messages",
        {
            "prompt": [BRIEF, user("What colour is the sky?")],
            "chosen": [answer("Blue.")],
            "rejected": [answer("Green.")],
        },
        BRIEF_SKY,
    ),
    ("messages", {"prompt": TALK, "chosen": [answer("Apple.")], "rejected": "Chair."}, FRUIT),
    (
        "messages",
        {
            "prompt": "unused",
            "chosen": [*TALK, answer("Apple.")],
            "rejected": [*TALK, answer("Chair.")],
        },
        FRUIT,
    ),
    (
        "messages",
        {
            "prompt": "What colour is the sky?",
            "chosen": [answer("Blue.")],
            "rejected": [answer("Green.")],
        },
        SKY,
    ),
    (
        "sharegpt",
        {
            "conversations": [{"from": "human", "value": "What colour is the sky?"}],
            "chosen": {"from": "gpt", "value": "Blue."},
            "rejected": {"from": "gpt", "value": "Green."},
        },
        SKY,
    ),
    (
        "sharegpt",
        {
            "conversations": [
                {"from": "human", "value": "Hi"},
                {"from": "gpt", "value": "Hello."},
                {"from": "human", "value": "Name a fruit."},
            ],
            "chosen": {"from": "gpt", "value": "Apple."},
            "rejected": {"from": "gpt", "value": "Chair."},
        },
        FRUIT,
    ),
    ("transcript", {"chosen": f"{TALK_TEXT} Apple.", "rejected": f"{TALK_TEXT} Chair."}, FRUIT),
]


@pytest.mark.parametrize(("fmt", "row", "pair"), DIALOGUES)
def test_everything_up_to_the_last_assistant_turn_is_the_prompt(
    fmt: str, row: Mapping[str, Any], pair: Pair
):
    assert pair_reader(fmt, {}, multi_turn=True)(row) == pair


@pytest.mark.parametrize(
    ("fmt", "row", "reason"),
    [
        ("messages", {"prompt": TALK[:2], "chosen": "a", "rejected": "b"}, "missing_field"),
        (
            "messages",
            {"prompt": [user("a"), answer("\u200b"), user("b")], "chosen": "a", "rejected": "b"},
            "blank_prompt",
        ),
        (
            "messages",
            {"chosen": [BRIEF, user("a"), answer("b")], "rejected": [user("a"), answer("c")]},
            "prompts_differ",
        ),
        (
            "transcript",
            {"chosen": TALK_TEXT, "rejected": f"{TALK_TEXT} a\n\nHuman: b"},
            "missing_field",
        ),
    ],
)
def test_a_dialogue_that_is_not_in_turns_is_a_bad_row(
    fmt: str, row: Mapping[str, Any], reason: str
):
    with pytest.raises(BadRowError) as raised:
        pair_reader(fmt, {}, multi_turn=True)(row)
    assert raised.value.reason == reason


def filled(
    folder: Path, rows: list[dict[str, Any]], size: int = 10**6, **source: Any
) -> dict[str, FilledSet]:
    """Return the four sets, with the test set of ``rows`` and of a source's keys."""
    path = folder / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    other = folder / "other.jsonl"
    other.write_text(
        "".join(f'{{"prompt": "q{i}", "chosen": "a", "rejected": "b"}}\n' for i in range(3))
    )
    sets = {
        name: {"size": 1, "source": {"path": str(other), "format": "columns"}}
        for name in FILLING_ORDER
    }
    sets["test"] = {"size": size, "source": {"path": str(path), **source}}
    return {each.name: each for each in fill_sets("t", 0, 0.05, cast(Any, sets))}


def two(better: Any, number: int = 0) -> dict[str, Any]:
    return {"prompt": f"p{number}", "response_0": "zero", "response_1": "one", "safer": better}


@pytest.mark.parametrize(
    ("better", "chosen"),
    [
        (0, "zero"),
        (1, "one"),
        ("1", "one"),
        ("response_1", "one"),
        (1.0, "one"),
        (-1, "tie"),
        (None, "tie"),
        ("tie", "tie"),
        (True, "missing_field"),
        (2, "missing_field"),
    ],
)
def test_a_column_says_which_response_is_better(better: Any, chosen: str):
    read = pair_reader("columns", {}, {"column": "safer"})
    if chosen in {"zero", "one"}:
        pair = read(two(better))
        assert {pair.chosen, pair.rejected} == {"zero", "one"}
        assert (pair.chosen, pair.first_preferred) == (chosen, chosen == "zero")
    else:
        with pytest.raises(BadRowError) as raised:
            read(two(better))
        assert raised.value.reason == chosen


@pytest.mark.parametrize(
    ("scores", "chosen"), [((2, 1), "zero"), (("1.5", 7), "one"), ((1, 1), None)]
)
def test_the_response_of_the_higher_score_is_better(scores: tuple[Any, Any], chosen: str | None):
    read = pair_reader("columns", {}, {"scores": {"response_0": "s0", "response_1": "s1"}})
    row = {**two(None), "s0": scores[0], "s1": scores[1]}
    if chosen:
        assert read(row).chosen == chosen
    else:
        with pytest.raises(BadRowError, match="tie"):
            read(row)


def test_ties_are_dropped_and_counted_and_are_no_faults(tmp_path: Path):
    rows = [two(better, i) for i, better in enumerate([0, 1, -1, None, 1])]
    test = filled(tmp_path, rows, format="columns", prefer={"column": "safer"})["test"]
    assert test.dropped == Counter({"tie": 2})
    assert [pair.chosen for pair in test.pairs.values()] == ["zero", "one", "one"]
    assert test.account()["rules"] == {"shorter_wins": 0.6667, "first_wins": 0.3333}


def test_an_order_taken_for_a_preference_is_warned_of(tmp_path: Path):
    rows = [
        {
            "prompt": f"p{i}",
            "response_0": "no" if i % 2 else "a long answer",
            "response_1": "a long answer" if i % 2 else "no",
            "safer": i % 2,
        }
        for i in range(200)
    ]
    columns = {"chosen": "response_0", "rejected": "response_1"}
    as_ordered = filled(tmp_path, rows, format="columns", columns=columns)["test"].account()
    assert as_ordered["rules"] == {"shorter_wins": 0.5}
    [warning] = as_ordered["warnings"]
    assert "labels may be random: over 200 pairs" in warning
    assert "name it in `prefer`" in warning
    named = filled(tmp_path, rows, format="columns", prefer={"column": "safer"})["test"].account()
    assert named["rules"] == {"shorter_wins": 0.0, "first_wins": 0.5}
    assert named["warnings"] == []


def test_several_pairs_of_one_prompt_stay_in_one_set_and_are_no_faults(tmp_path: Path):
    rows = [{"prompt": f"p{i % 10}", "chosen": f"good {i}", "rejected": "bad"} for i in range(40)]
    path = tmp_path / "all.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in [*rows, rows[0]]))
    source = {"path": str(path), "format": "columns", "repeated_prompts": True}
    sets = {name: {"size": 10, "source": source} for name in FILLING_ORDER}
    parts = fill_sets("t", 0, 0.0, cast(Any, sets))
    prompts = [{pair.prompt for pair in part.pairs.values()} for part in parts]
    assert sum(map(len, prompts)) == len(set.union(*prompts)) <= 10
    assert all(len(part.pairs) >= 8 for part in parts[:3])
    dropped = Counter(str(r) for part in parts for r in part.dropped.elements())
    assert dropped["duplicate_pair"] <= 1
    assert dropped["duplicate_prompt"] == 0


def test_dialogues_of_several_turns_alone_name_the_key_that_takes_them(tmp_path: Path):
    row = {"chosen": f"{TALK_TEXT} Apple.", "rejected": f"{TALK_TEXT} Chair."}
    with pytest.raises(UserError, match="set `multi_turn: true`"):
        filled(tmp_path, [row], format="transcript")
    test = filled(tmp_path, [row], format="transcript", multi_turn=True)["test"]
    assert list(test.pairs.values()) == [FRUIT]
