"""Paths of results: every template is read back to what it was made of."""

import re

import pytest

from workflow_scripts.config import paths
from workflow_scripts.core.errors import UserError

NAMES = {
    **{"target": "hh-1.5", "model": "opt-2.7b", "weak": "gpt2", "strong": "gpt2-xl"},
    **{"scenario": "dpo", "conflict": "explicit", "supervision": "labels", "seed": "12"},
    **{"set": "gt", "world": "w", "corpus": "c", "figure": "tax", "table": "tax", "names": "n"},
}


@pytest.mark.parametrize("variant", ["", "/via_gpt2"])
@pytest.mark.parametrize("template", paths.FILES)
def test_a_path_is_read_back_to_its_template_and_fields(template: str, variant: str):
    fields = {
        name: value
        for name, value in {**NAMES, "variant": variant}.items()
        if f"{{{name}}}" in template
    }
    assert paths.parse(template.format(**fields)) == (template, fields)


@pytest.mark.parametrize(
    ("path", "nearest"),
    {
        "results/ground_truth/t/dpo/gpt2/seed0/prediction.parquet": paths.CEILING_PREDICTIONS,
        "results/ground_truth/t/dpo/gpt2/0/predictions.parquet": paths.CEILING_PREDICTIONS,
        "results/weak_label/t/dpo/gpt2/seed0.parquet": paths.WEAK_LABELS,
        "results/probes/t/dpo/gpt2/seed0.json": paths.PROBE,
        "../results/models/gpt2": paths.MODEL,
        "results/models/a b": paths.MODEL,
    }.items(),
)
def test_a_path_of_no_result_is_an_error_that_names_the_nearest(path: str, nearest: str):
    with pytest.raises(UserError, match=f"^{re.escape(path)}: .*nearest is {re.escape(nearest)}$"):
        paths.parse(path)


def test_logs_and_benchmarks_are_named_after_rule_and_cell():
    assert paths.log("sft", paths.SFT) == "results/logs/sft/{target}/{model}/seed{seed}.log"
    assert (
        paths.benchmark("weak_labels", paths.WEAK_LABELS)
        == "results/benchmarks/weak_labels/{target}/{scenario}/{model}/seed{seed}.tsv"
    )
