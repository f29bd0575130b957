"""Which pairs are one group, and which prompts of different sets are nearly the same."""

import json
from itertools import combinations
from pathlib import Path
from typing import cast

import pytest

from workflow_scripts.config.data import SETS
from workflow_scripts.data.groups import near_duplicates, normalised
from workflow_scripts.data.pair_sets import fill_sets
from workflow_scripts.data.sources import RowSource
from workflow_scripts.data.worlds import SmallWorld


@pytest.mark.parametrize(
    ("prompt", "other", "same"),
    [
        ("How do I boil an egg?", "how do i  boil an EGG", True),
        ("Wie groß ist der Mond?", "WIE GROSS IST DER MOND", True),
        ("ﬁne \u2013 isn't it?", "fine - isn\u2019t it", True),
        ("caf\u00e9\u200b?", "cafe\u0301 !", True),
        ("What is 5-3?", "What is 53?", False),
        ("What is 2+2?", "What is 2*2?", False),
        ("हिन्दी", "हन्दी", False),
        ("???", "!", False),
    ],
)
def test_prompts_that_hardly_differ_are_one_group(prompt, other, same):
    assert (normalised(prompt) == normalised(other)) == same


def filled(folder: Path, rows, size: int, **source):
    """Return the four sets that share a file of these rows."""
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shared = cast(RowSource, {"path": str(path), "format": "columns", **source})
    return fill_sets("t", 0, 1.0, {name: {"size": size, "source": shared} for name in SETS})


def groups_of(part):
    return part.table()["group"].to_pylist()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        pytest.param({"group": "topic"}, "group_in_other_set", id="a column"),
        pytest.param({}, "prompt_in_other_set", id="prompts that differ by case"),
    ],
)
def test_no_two_sets_share_a_group_and_its_pairs_stay_together(tmp_path, source, reason):
    rows = [
        {
            "topic": number // 3,
            "prompt": f"word {number}" if source else f"{'wWW'[number % 3]}ord {number // 3}!",
            "chosen": f"good {number}",
            "rejected": "bad",
        }
        for number in range(60)
    ]
    rows = [row | {"prompt": row["prompt"] + "?" * (n % 3)} for n, row in enumerate(rows)]
    parts = filled(tmp_path, rows, 13, **source)
    groups = {part.name: groups_of(part) for part in parts}
    for first, second in combinations(groups.values(), 2):
        assert not set(first) & set(second)
    for part in parts:
        assert part.account()["groups"] == len(set(groups[part.name])) == 5
    # 13 is no multiple of 3: the rest of the last group is in the way of the next set.
    assert sum(part.dropped[reason] for part in parts) == 2 * 3


def test_the_world_says_which_substance_a_pair_is_about():
    for pairs in SmallWorld(0, 40, 10, 1.0, 3).pairs(SETS).values():
        assert len({pair["group"] for pair in pairs}) == 10
        assert all(pair["group"] in pair[text] for pair in pairs for text in ("prompt", "chosen"))


def test_near_duplicates_are_those_that_comparing_all_finds():
    words = [
        "how",
        "do",
        "i",
        "boil",
        "an",
        "egg",
        "in",
        "a",
        "small",
        "pot",
        "of",
        "cold",
        "water",
        "today",
    ]
    sets = {
        name: [
            " ".join(
                ["human", *words[number % 6 :][: 5 + step * number % 4], f"x{step * number % 3}"]
            )
            for number in range(20)
        ]
        for step, name in enumerate(SETS, start=1)
    }

    def near(first, second):
        first, second = set(first.split()) - {"human"}, set(second.split()) - {"human"}
        return len(first & second) / len(first | second) >= 0.8

    compared = {
        name: sum(
            any(near(p, q) for other in SETS if other != name for q in sets[other]) for p in prompts
        )
        for name, prompts in sets.items()
    }
    assert near_duplicates(sets) == compared
    assert 0 < sum(compared.values()) < 80
