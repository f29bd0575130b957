"""What is asked for by a name that nothing has is answered with the names that there are."""

import re

import pytest

from tests.shared.configuration import PAPER, loaded
from workflow_scripts.config import asked, paths
from workflow_scripts.core.errors import UserError

CONFIG = loaded(PAPER)
RULES = {
    **{"all": "", "plan": "", "power": "", "cells": paths.CELLS},
    **{"inspect": f"{paths.INSPECTION}.html", "local_model": paths.MODEL},
}
CELL = "harmlessness/simpo/gpt2/gpt2-xl"


@pytest.mark.parametrize(
    "name",
    [
        *("all", "power", "cells", "README.md", "tests/config", "results/models/gpt2/"),
        *(f"results/inspect/{CELL}/explicit/seed7.html", f"results/probes/{CELL}/none/seed0.json"),
        f"results/weak_to_strong/{CELL}/placebo/seed0/predictions.parquet",
        f"results/student_sft/{CELL}/mixture/seed0/reference.parquet",
        "results/benchmarks/sft/harmlessness/gpt2/seed0.tsv",
    ],
)
def test_what_can_be_made_may_be_asked_for(name: str):
    asked.check([name], RULES, CONFIG)


def test_what_is_done_with_models_for_what_is_asked_for():
    cell = f"results/probes/{CELL}/explicit/seed0.json"
    assert asked.uses_of([], CONFIG) == asked.uses_of([cell, "all"], CONFIG)
    assert asked.uses_of(["all"], CONFIG) == {
        model: ["training"] for model in CONFIG.matrix.trained_models
    }
    assert asked.uses_of([cell], CONFIG) == {"gpt2": ["training"], "gpt2-xl": ["training"]}
    assert asked.uses_of(["results/models/gpt2", "results/data/honesty/gt.parquet"], CONFIG) == {}
    read = ["results/features/honesty/gpt2/gt.parquet", "results/sft/honesty/opt-2.7b/seed0"]
    assert asked.uses_of([read[0], f"{read[1]}/train.json"], CONFIG) == {
        "gpt2": ["probe"],
        "opt-2.7b": ["training"],
    }


@pytest.mark.parametrize(
    ("name", "answer"),
    {
        "pwoer": "neither a rule nor a result; did you mean 'power'?",
        "xyz": "neither a rule nor a result; known: all, cells, plan, power",
        "inspect": "makes many files; ask for one by its path, such as "
        "results/inspect/harmlessness/reward_model/gpt2/gpt2-medium/explicit/seed0.html",
        "local_model": "makes many files; ask for one by its path, such as results/models/gpt2",
        f"results/inspect/{CELL.replace('harmless', 'harm')}/none/seed0.html": "'harmness' is no "
        "target; did you mean 'harmlessness'?",
        f"results/probes/{CELL}/exlicit/seed0.json": "'exlicit' is no conflict; did you mean "
        "'explicit'?",
        f"results/probes/{CELL}/explicit/sure/seed0.json": "'sure' is no student",
        "results/probes/harmlessness/ppo/gpt2/gpt2-xl/none/seed0.json": "'ppo' is no scenario; "
        "did you mean 'dpo'?",
        "results/models/gpt9": "'gpt9' is no model; did you mean 'gpt2'?",
        f"results/inspct/{CELL}/none/seed0.html": "no rule makes a file of this name; the nearest "
        f"is {paths.INSPECTION}.html",
    }.items(),
)
def test_a_name_of_nothing_is_answered_with_the_names_that_there_are(name: str, answer: str):
    with pytest.raises(UserError, match=f"{re.escape(answer)}$"):
        asked.check(["all", name], RULES, CONFIG)
