"""Linear probes: a reward head on features that are computed once and shared."""

import copy
import json
import os
import signal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from tests.shared import joblog
from tests.shared.base_models import FAMILIES, save_base
from tests.shared.configuration import PAPER, loaded
from tests.shared.held_metrics import held
from tests.shared.stages import run_stage
from tests.shared.trainings import COMMON, SETTINGS, margins, train, weights, write_pairs
from tests.shared.workflows import TINY
from workflow_scripts.core.errors import UserError
from workflow_scripts.reruns import slices

PROBE = SETTINGS["reward_model"] | {"linear_probe": True}
POOLED = {"reward_pooling": "fixed"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of a base model, pairs of two goals and the features of both."""
    folder = tmp_path_factory.mktemp("probe")
    save_base(folder / "base", FAMILIES["llama"])
    for seed, name in enumerate(("weak", "helpful")):
        write_pairs(folder / f"{name}.parquet", 34, seed)
        run_stage(
            "features",
            *("--settings", json.dumps({"max_length": 48, "compat": POOLED}), "--model"),
            *(folder / "base", "--pairs", folder / f"{name}.parquet", "--micro-batch", 3),
            *("--threads", 1, "--output", folder / f"{name}_features.parquet"),
        )
    return folder


def predicted(folder, checkpoint, *more):
    run_stage(
        "predict",
        *(
            "--settings",
            json.dumps({"objective": "reward_model", "max_length": 48, "compat": {}}),
            "--model",
        ),
        *(checkpoint, "--pairs", folder / "weak.parquet", "--micro-batch", 5, "--threads", 1),
        *("--output", checkpoint.with_suffix(".parquet"), *more),
    )
    return margins(checkpoint.with_suffix(".parquet"))


def test_a_probe_trains_the_head_alone_from_where_a_whole_training_starts(folder, tmp_path):
    features = folder / "weak_features.parquet"
    pairs, base = folder / "weak.parquet", folder / "base"
    whole = train(tmp_path / "whole", base, pairs, SETTINGS["reward_model"])
    probe = train(tmp_path / "probe", base, pairs, PROBE, "--features", features)
    # The same head on the same batches: what a text is worth before any update is the same.
    assert probe["losses"][0] == pytest.approx(whole["losses"][0], abs=1e-6)
    assert probe["losses"][-1] != pytest.approx(whole["losses"][-1], abs=1e-5)
    assert (probe["steps"], probe["tokens"]) == (whole["steps"], whole["tokens"])
    assert probe["settings"]["linear_probe"] is True
    trained, start = weights(tmp_path / "probe"), weights_of(base)
    assert trained.keys() - start.keys() == {"score.weight"}
    assert all(torch.equal(trained[name], start[name]) for name in trained if name in start)


def weights_of(base):
    from safetensors.torch import load_file

    return load_file(base / "model.safetensors")


def test_its_checkpoint_is_a_whole_model_that_scores_texts_as_features(folder, tmp_path):
    features = folder / "weak_features.parquet"
    pairs = folder / "weak.parquet"
    train(tmp_path, folder / "base", pairs, PROBE, "--features", features)
    AutoModelForSequenceClassification.from_pretrained(tmp_path / "checkpoint")
    from_texts = predicted(folder, tmp_path / "checkpoint")
    from_features = predicted(folder, tmp_path / "checkpoint", "--features", features)
    assert from_texts.std() > 0.01
    np.testing.assert_allclose(from_features, from_texts, atol=1e-5)


def test_an_interrupted_probe_goes_on_to_the_same_bytes(folder, tmp_path, warm_process):
    def start(into):
        into.mkdir(exist_ok=True)
        return warm_process.stage(
            *("train", "--settings", json.dumps(COMMON | PROBE | {"epochs": 20}), "--model"),
            *(folder / "base", "--pairs", folder / "weak.parquet"),
            *("--features", folder / "weak_features.parquet", "--micro-batch", 8, "--threads", 1),
            *("--states", into / "state", "--checkpoint", into / "checkpoint"),
            *("--record", into / "train.json", "--metrics", into / "metrics.jsonl"),
        )

    broken, unbroken = tmp_path / "broken", tmp_path / "unbroken"
    with held(broken, lambda: start(broken)) as (first, lines):
        (process,) = warm_process.children()
        os.kill(process, signal.SIGTERM)
        lines.release()
        assert "as told (SIGTERM)" in first.communicate(timeout=300)[1]
    for into in (broken, unbroken):
        assert start(into).wait(timeout=300) == 0
    of_broken, of_unbroken = (
        (into / "checkpoint/model.safetensors").read_bytes() for into in (broken, unbroken)
    )
    assert of_broken == of_unbroken


def test_students_are_probed_under_every_conflict(folder, tmp_path):
    ids = pq.read_table(folder / "weak.parquet")["id"].to_pylist()
    labels = tmp_path / "labels.parquet"
    pq.write_table(pa.table({"id": ids, "probability": [0.3] * 34, "label": [0] * 34}), labels)
    both = [folder / f"{name}_features.parquet" for name in ("helpful", "weak")]
    for conflict, steps in (
        ({"kind": "none"}, 4),
        ({"kind": "explicit", "alpha": 0.5}, 4),
        ({"kind": "implicit"}, 8),
    ):
        record = train(
            tmp_path / conflict["kind"],
            *(folder / "base", folder / "weak.parquet", PROBE | {"conflict": conflict}),
            *("--weak-labels", labels, "--helpful", folder / "helpful.parquet"),
            *("--features", *both),
        )
        assert record["steps"] == steps
    with pytest.raises(UserError, match=r"linear_probe: .*give --features"):
        train(tmp_path, folder / "base", folder / "weak.parquet", PROBE)
    with pytest.raises(UserError, match=r"helpful_features\.parquet: has no row for pair weak-"):
        train(tmp_path, folder / "base", folder / "weak.parquet", PROBE, "--features", both[0])


def test_features_are_shared_files_that_only_reward_models_read(tmp_path):
    asked = "scenarios={reward_model: {linear_probe: true}}"
    jobs = joblog.run(tmp_path, "-n", *TINY, "--config", asked).jobs
    made = [job.outputs[0] for job in jobs if job.rule == "features"]
    assert sorted(made) == sorted(
        f"results/features/substances/{model}/{of_set}.parquet"
        for model, sets in {
            "small": ("gt", "weak", "test"),
            "middle": ("gt", "weak", "test", "helpful"),
        }.items()
        for of_set in sets
    )
    readers = {
        job.outputs[0] for job in jobs if any("results/features/" in path for path in job.inputs)
    }
    # Of either model a ceiling and its predictions, labels, and three students and theirs.
    assert len(readers) == 2 * 2 + 1 + 3 * 2
    assert all("/reward_model/" in output for output in readers)


def test_settings_know_of_probe_depth_and_package_only_where_they_are_asked_for():
    paper = copy.deepcopy(PAPER)
    config = loaded(paper)
    of_ceiling = slices.ground_truth(config, "harmlessness", "reward_model", "gpt2", "0")
    assert "linear_probe" not in of_ceiling + slices.page(config)
    origin = {"id", "revision", "path", "pickled_weights"}
    assert json.loads(slices.base_model(config, "gpt2")).keys() == origin
    paper["models"]["gpt2"]["depth"] = 4
    paper["scenarios"]["reward_model"]["linear_probe"] = True
    config = loaded(paper)
    of_ceiling = slices.ground_truth(config, "harmlessness", "reward_model", "gpt2", "0")
    assert json.loads(of_ceiling)["linear_probe"] is True
    assert json.loads(slices.base_model(config, "gpt2"))["depth"] == 4
    assert json.loads(slices.base_model(config, "gpt2-xl")).keys() == origin
