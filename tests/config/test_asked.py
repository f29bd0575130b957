"""What is asked for by a name that nothing has is answered with the names that there are."""

import re

import pytest

from tests.shared.configuration import PAPER, changed, loaded
from tests.shared.workflows import ROOT
from workflow_scripts.config import asked, experiment, paths
from workflow_scripts.config.layers import read_layers
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


def test_a_students_file_rests_on_the_models_it_is_taught_through_and_by():
    students = [
        {"name": "direct"},
        {"name": "via", "through": ["gpt2-medium", "gpt2-large"]},
        {"name": "averaged", "kind": "ensemble", "models": ["opt-1.3b"]},
    ]
    config = loaded(changed("matrix.students", students))
    cell = "harmlessness/dpo/gpt2/gpt2-xl"

    def models(path: str) -> list[str]:
        found = asked.uses_of([f"results/{path}"], config)
        assert all(of_model == ["training"] for of_model in found.values())
        return sorted(found)

    chain = ["gpt2", "gpt2-large", "gpt2-medium", "gpt2-xl"]
    for path in (
        f"weak_to_strong/{cell}/none/via/seed0/train.json",
        f"probes/{cell}/explicit/via/seed0.json",
        f"student_labels/{cell}/via/seed0.parquet",
    ):
        assert models(path) == chain
    # The student in between is no student of the matrix, and is trained all the same.
    between = "harmlessness/dpo/gpt2/gpt2-large/none/via_gpt2-medium/seed0/train.json"
    assert models(f"weak_to_strong/{between}") == ["gpt2", "gpt2-large", "gpt2-medium"]
    averaged = f"weak_to_strong/{cell}/none/averaged/seed0/train.json"
    assert models(averaged) == ["gpt2", "gpt2-xl", "opt-1.3b"]
    direct = f"weak_to_strong/{cell}/none/seed0/train.json"
    assert models(direct) == ["gpt2", "gpt2-xl"]


def test_of_a_model_that_is_made_here_pretraining_alone_is_done_where_only_it_is_asked_for():
    demo = [ROOT / "config.yaml", ROOT / "profiles/demo/experiment.yaml"]
    config = experiment.load(read_layers(demo, {}))
    of_pretraining = [
        f"results/pretraining/small/{name}" for name in ("train.json", "metrics.jsonl")
    ]
    for path in (*of_pretraining, "results/models/small", "results/models/small/"):
        assert asked.uses_of([path], config) == {"small": ["pretraining"]}
    target = next(iter(config.targets))
    trained = f"results/sft/{target}/small/seed0/train.json"
    assert asked.uses_of([of_pretraining[0], trained], config) == {
        "small": ["pretraining", "training"]
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
