"""Real trainings of tiny models, through the stages that the rules run."""

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.shared.base_models import FAMILIES, save_base
from tests.shared.kernels import lay_rows_as_on_a_gpu, run_eagerly
from tests.shared.stages import run_stage
from tests.shared.trainings import (
    ADAM,
    SETTINGS,
    margins,
    metrics,
    train,
    weights,
)
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.kernels import KERNELS

READING = {"max_length": 48, "compat": {}}


@pytest.fixture(scope="module")
def reference(base, pairs, tmp_path_factory):
    """Log-probabilities under the base model, in batches unlike those of any training here."""
    path = tmp_path_factory.mktemp("reference") / "reference.parquet"
    settings = json.dumps(READING)
    run_stage(
        "reference",
        *("--settings", settings, "--model", base, "--pairs", pairs),
        *("--micro-batch", 3, "--threads", 1, "--output", path),
    )
    return path


def needed(objective, reference):
    return ["--reference", reference] if objective == "dpo" else []


@pytest.mark.slow
def test_attention_by_blocks_changes_last_digits_at_most(base, pairs, tmp_path, monkeypatch):
    """Packed as on a GPU; a checkpoint does not tell with which kernel it was trained."""
    run_eagerly(monkeypatch)
    lay_rows_as_on_a_gpu(monkeypatch)
    settings = SETTINGS["simpo"] | {"adam": ADAM | {"epsilon": 1e-4}}
    for kernel in KERNELS:
        train(tmp_path / kernel, base, pairs, settings, "--attention", kernel)
    configs = {(tmp_path / k / "checkpoint/config.json").read_bytes() for k in KERNELS}
    assert len(configs) == 1
    expected = weights(tmp_path / "dense")
    for name, weight in weights(tmp_path / "flex").items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("objective", SETTINGS)
def test_micro_batch_and_threads_change_last_digits_at_most(
    objective, base, pairs, reference, tmp_path
):
    # An epsilon well above float error: Adam divides gradients that are 0 but for it by their size.
    settings = SETTINGS[objective] | {"adam": ADAM | {"epsilon": 1e-4}}
    more = needed(objective, reference)
    runs = {"8": (8, []), "4": (4, []), "threads": (1, ["--threads", 2])}
    records = {
        name: train(tmp_path / name, base, pairs, settings, *more, *knobs, micro_batch=size)
        for name, (size, knobs) in runs.items()
    }
    assert records["threads"]["threads"] == 2
    expected = weights(tmp_path / "8")
    for name in runs.keys() - {"8"}:
        assert records[name]["losses"] == pytest.approx(records["8"]["losses"], abs=1e-6)
        assert records[name]["tokens"] == records["8"]["tokens"]
        for key, weight in weights(tmp_path / name).items():
            torch.testing.assert_close(weight, expected[key], rtol=0, atol=1e-6)
    start = load_file(base / "model.safetensors")
    assert max((weights(tmp_path / "8")[n] - w).abs().max() for n, w in start.items()) > 1e-4


@pytest.mark.parametrize("objective", ["reward_model", "dpo"])
def test_the_same_run_twice_gives_the_same_bytes(objective, base, pairs, reference, tmp_path):
    settings, more = SETTINGS[objective], needed(objective, reference)
    for name in ("one", "two"):
        train(tmp_path / name, base, pairs, settings, *more)
    files = sorted(path.name for path in (tmp_path / "one" / "checkpoint").iterdir())
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(files)
    for name in files:
        one, two = (tmp_path / run / "checkpoint" / name for run in ("one", "two"))
        assert one.read_bytes() == two.read_bytes(), name
    other_seed = settings | {"seed": "weak_to_strong/test/seed1"}
    train(tmp_path / "other", base, pairs, other_seed, *more)
    one, other = weights(tmp_path / "one"), weights(tmp_path / "other")
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("conflict", [{"kind": "none"}, {"kind": "explicit", "alpha": 0.5}])
@pytest.mark.parametrize("micro_batch", [2, 8])
def test_dpo_starts_at_ln_2(micro_batch, conflict, base, pairs, reference, tmp_path):
    """An explicit conflict adds nothing to it: a model that is its reference does no harm yet."""
    settings = SETTINGS["dpo"] | {"conflict": conflict}
    # A reference which rounding has put above the model's own margins, wherever it had not.
    table = pq.read_table(reference).to_pydict()
    table["chosen"] = [score + 1e-6 for score in table["chosen"]]
    pq.write_table(pa.table(table), tmp_path / "rounded.parquet")
    more = needed("dpo", tmp_path / "rounded.parquet")
    record = train(tmp_path, base, pairs, settings, *more, micro_batch=micro_batch)
    assert record["losses"][0] == pytest.approx(math.log(2), abs=1e-6)
    assert record["losses"][-1] != pytest.approx(math.log(2), abs=1e-4)


def test_first_losses_are_the_formulas_of_the_predicted_margins(base, pairs, tmp_path):
    """The first step's loss, before any update, from the margins that ``predict`` writes."""
    ids = pq.read_table(pairs)["id"].to_pylist()
    run_stage(
        "predict",
        *("--settings", json.dumps({"objective": "simpo", **READING}), "--model", base),
        *("--pairs", pairs, "--micro-batch", 5, "--threads", 1, "--output", tmp_path / "p.parquet"),
    )
    z = margins(tmp_path / "p.parquet")
    assert pq.read_table(tmp_path / "p.parquet")["id"].to_pylist() == ids
    weak = np.arange(34) % 2
    label_file = tmp_path / "weak.parquet"
    backwards = slice(None, None, -1)  # rows are matched by id, not by place
    pq.write_table(
        pa.table({"id": ids[backwards], "label": weak[backwards], "probability": weak / 2}),
        label_file,
    )
    whole = {"batch_size": 34, "conflict": {"kind": "explicit", "alpha": 0.5}}
    settings = SETTINGS["simpo"] | whole
    record = train(tmp_path, base, pairs, settings, "--weak-labels", label_file, micro_batch=34)
    side = 2 * weak - 1
    of_labels = np.logaddexp(0, -(2 * side * z - 1))
    of_reversed_truth = np.logaddexp(0, 2 * z + 1)
    assert 0 < (z < 0).sum() < 34
    expected = (of_labels + 0.5 * np.where(z < 0, of_reversed_truth, 0)).mean()
    assert record["losses"] == pytest.approx([expected], abs=1e-6)
    (line,) = metrics(tmp_path)
    assert line["margin"] == pytest.approx(z.mean(), abs=1e-6)
    assert line["accuracy"] == pytest.approx((np.sign(z) == side).mean())


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("cosine", 0.0, [(1 + math.cos(math.pi * k / 12)) / 2 for k in range(12)]),
        ("constant", 0.1, [1 / 2] + [1.0] * 11),  # 10 % of 12 steps, rounded down, are 1
        ("constant", 0.3, [1 / 4, 2 / 4, 3 / 4] + [1.0] * 9),
    ],
)
def test_learning_rate_schedules(schedule, warmup, expected, base, pairs, tmp_path):
    settings = SETTINGS["reward_model"] | {"schedule": schedule, "warmup": warmup, "epochs": 3}
    record = train(tmp_path, base, pairs, settings)
    rates = [line["learning_rate"] for line in metrics(tmp_path)]
    assert rates == pytest.approx([1e-3 * factor for factor in expected])
    assert record["losses"] == pytest.approx([line["loss"] for line in metrics(tmp_path)], abs=1e-6)


def test_a_loss_that_is_not_finite_stops_before_the_update_and_names_step_and_pairs(
    base, pairs, tmp_path
):
    broken = save_base(tmp_path / "broken", FAMILIES["gpt2"])
    tokenizer = AutoTokenizer.from_pretrained(broken)
    tensors = load_file(broken / "model.safetensors")
    tensors["transformer.wte.weight"][tokenizer.convert_tokens_to_ids("~")] = math.nan
    save_file(tensors, broken / "model.safetensors", {"format": "pt"})
    rows = pq.read_table(pairs).to_pylist()
    rows[4]["chosen"] += "~"
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "gt.parquet")
    with pytest.raises(UserError, match=r"not finite at step \d, pairs gt-000004;"):
        train(tmp_path, broken, tmp_path / "gt.parquet", SETTINGS["reward_model"], micro_batch=2)
    assert not (tmp_path / "checkpoint").exists()


def test_checkpoints_open_with_transformers_and_score_as_in_training(base, pairs, tmp_path):
    train(tmp_path, base, pairs, SETTINGS["reward_model"])
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "checkpoint").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "checkpoint")
    run_stage(
        "weak_labels",
        *("--settings", json.dumps({"objective": "reward_model", **READING, "beta": None})),
        *("--model", tmp_path / "checkpoint", "--pairs", pairs, "--micro-batch", 4, "--threads", 1),
        *("--output", tmp_path / "labels.parquet"),
    )
    labels = pq.read_table(tmp_path / "labels.parquet").to_pydict()
    z = np.array(labels["margin"])
    np.testing.assert_allclose(labels["probability"], 1 / (1 + np.exp(-z)), rtol=1e-9)
    assert labels["label"] == (z > 0).astype(int).tolist()
    assert set(labels["true_label"]) == {1}
    first = pq.read_table(pairs).to_pylist()[0]
    with torch.inference_mode():
        rewards = [
            model(**tokenizer(first["prompt"] + first[side], return_tensors="pt")).logits.item()
            for side in ("chosen", "rejected")
        ]
    assert z[0] == pytest.approx(rewards[0] - rewards[1], abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "more", "message"),
    [
        (SETTINGS["dpo"], [], "give --reference"),
        (SETTINGS["dpo"], ["--reference", "{few}"], r"no row for pair gt-000001 \(33 of 34"),
        (SETTINGS["simpo"], ["--weak-labels", "{few}"], r"--settings: conflict: missing"),
        (
            SETTINGS["simpo"] | {"conflict": {"kind": "none"}},
            ["--weak-labels", "{few}"],
            r"cannot be read as a table of id, label",
        ),
        (
            {"objective": "rewards"},
            [],
            "objective rewards: not one of sft, reward_model, simpo, dpo",
        ),
        (SETTINGS["dpo"] | {"betta": 1}, [], "--settings: betta: Extra inputs are not permitted"),
        (SETTINGS["dpo"] | {"data_order": "any"}, [], "--settings: data_order: Input should be"),
        (SETTINGS["sft"] | {"batch_size": 64}, [], "34 pairs do not fill one batch of 64"),
        (SETTINGS["sft"] | {"batch_size": 12}, [], "micro-batch 8 does not divide"),
        (SETTINGS["sft"] | {"max_length": 512}, ["--pairs", "{long}"], "the model 64 positions"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(settings, more, message, base, pairs, tmp_path):
    few, long = tmp_path / "few.parquet", tmp_path / "long.parquet"
    pq.write_table(pa.table({"id": ["gt-000000"], "chosen": [0.0], "rejected": [0.0]}), few)
    rows = pq.read_table(pairs).to_pylist()
    rows[0]["prompt"] *= 20
    pq.write_table(pa.Table.from_pylist(rows), long)
    more = [argument.format(few=few, long=long) for argument in more]
    with pytest.raises(UserError, match=message) as error:
        train(tmp_path, base, pairs, settings, *more)
    assert "\n" not in str(error.value)


def test_a_checkpoint_without_reward_head_gives_no_rewards(base, pairs, tmp_path):
    settings = json.dumps({"objective": "reward_model", **READING})
    with pytest.raises(UserError, match=r"lacks score\.weight"):
        run_stage(
            "predict",
            *("--settings", settings, "--model", base, "--pairs", pairs, "--micro-batch", 4),
            *("--threads", 1, "--output", tmp_path / "p.parquet"),
        )


@pytest.mark.parametrize("more", [{}, {"lora": {"r": 4, "alpha": 8}}], ids=["whole", "adapters"])
def test_models_stored_in_bfloat16_are_rounded_and_read_as_they_are_stored(
    more, base, pairs, tmp_path
):
    settings = {"objective": "reward_model", **more}
    halves = settings | {"checkpoint_dtype": "bfloat16"}
    folders = {"as trained": settings, "stored": halves}
    for name, given in folders.items():
        record = train(tmp_path / name, base, pairs, given)
        assert record["settings"].get("checkpoint_dtype") == given.get("checkpoint_dtype")
    file = "adapter_model.safetensors" if more else "model.safetensors"
    trained, stored = (load_file(tmp_path / name / "checkpoint" / file) for name in folders)
    for name, weight in stored.items():
        assert weight.dtype == torch.bfloat16
        assert torch.equal(weight, trained[name].bfloat16())
    # What is read from the stored model is what the trained one gives once it is rounded.
    save_file(
        {name: weight.bfloat16().float() for name, weight in trained.items()},
        tmp_path / "as trained/checkpoint" / file,
        {"format": "pt"},
    )
    reading = json.dumps({"objective": "reward_model", **READING})
    read = []
    for name in folders:
        output = tmp_path / name / "predictions.parquet"
        run_stage(
            "predict",
            *("--settings", reading, "--model", tmp_path / name / "checkpoint", "--pairs", pairs),
            *("--micro-batch", 4, "--threads", 1, "--output", output),
        )
        read.append(margins(output))
    np.testing.assert_allclose(read[0], read[1], rtol=0, atol=1e-6)
