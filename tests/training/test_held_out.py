"""A training is watched on held-out pairs, and ends in the bytes that it ends in unwatched."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.shared.stages import run_stage
from tests.shared.trainings import SETTINGS, margins, metrics, train, write_pairs
from workflow_scripts.core.errors import UserError

READING = {"max_length": 48, "compat": {}}


@pytest.fixture(scope="module")
def test_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("held_out") / "test.parquet", 20, seed=1)


def evaluations(folder: Path) -> list[dict[str, float]]:
    return [line for line in metrics(folder) if "eval_loss" in line]


@pytest.mark.parametrize("objective", SETTINGS)
def test_watching_changes_no_byte_and_says_what_predictions_say(
    objective: str, base: Path, pairs: Path, test_pairs: Path, tmp_path: Path
):
    reference = []
    if objective == "dpo":
        reference = ["--reference", tmp_path / "reference.parquet"]
        run_stage(
            "reference",
            *("--settings", json.dumps(READING), "--model", base, "--pairs", pairs, test_pairs),
            *("--micro-batch", 3, "--threads", 1, "--output", tmp_path / "reference.parquet"),
        )
    watched = ["--evaluate", test_pairs, "--evaluate-pairs", 15, "--evaluate-every", 3]
    records = [
        train(tmp_path / name, base, pairs, SETTINGS[objective], *reference, *more)
        for name, more in (("unwatched", []), ("watched", [*watched, "--tensorboard", 1]))
    ]
    for record in records:
        del record["seconds"], record["peak_memory_bytes"]
    assert records[0] == records[1]
    for file in (tmp_path / "unwatched/checkpoint").iterdir():
        assert file.read_bytes() == (tmp_path / "watched/checkpoint" / file.name).read_bytes()

    found = evaluations(tmp_path / "watched")
    # Four steps: after the third, and after the last.
    assert [line["step"] for line in found] == [3, 4]
    of_training = [line["step"] for line in metrics(tmp_path / "watched") if "loss" in line]
    assert of_training == [1, 2, 3, 4]
    assert evaluations(tmp_path / "unwatched") == []
    assert ("eval_accuracy" in found[-1]) == (objective != "sft")
    if objective != "sft":
        output = tmp_path / "predictions.parquet"
        run_stage(
            "predict",
            *("--settings", json.dumps(READING | {"objective": objective})),
            *("--model", tmp_path / "watched/checkpoint", "--pairs", test_pairs, *reference),
            *("--micro-batch", 4, "--threads", 1, "--output", output),
        )
        z = margins(output)[:15]
        assert found[-1]["eval_margin"] == pytest.approx(z.mean(), abs=1e-5)
        assert found[-1]["eval_accuracy"] == pytest.approx((z > 0).mean())
        side = {"reward_model": z, "simpo": 2 * z - 1, "dpo": 0.1 * z}[objective]
        assert found[-1]["eval_loss"] == pytest.approx(np.logaddexp(0, -side).mean(), abs=1e-5)
    logged = EventAccumulator(str(tmp_path / "watched/tensorboard")).Reload()
    assert [event.step for event in logged.Scalars("eval/loss")] == [3, 4]


@pytest.mark.skipif(importlib.util.find_spec("wandb") is not None, reason="wandb is installed")
def test_a_service_that_is_not_installed_is_one_line(base: Path, pairs: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"^execution\.report_to: wandb is not installed; run "):
        train(tmp_path, base, pairs, SETTINGS["sft"], "--report-to", "wandb")
