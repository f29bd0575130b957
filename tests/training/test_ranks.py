"""Two processes that train one model together do what one process does."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from tests.shared.base_models import FAMILIES, save_base
from tests.shared.held_metrics import held
from tests.shared.processes import children, stopped, wait_until_pending
from tests.shared.ranks import run_on_two_ranks
from tests.shared.stages import run_stage
from tests.shared.trainings import (
    ADAM,
    COMMON,
    SETTINGS,
    margins,
    metrics,
    train,
    weights,
    write_pairs,
)
from workflow_scripts.runtime import ranks

pytestmark = pytest.mark.slow


def broken_base(folder):
    """Return a model for which the letter ~ is not a number."""
    save_base(folder, FAMILIES["gpt2"])
    tensors = load_file(folder / "model.safetensors")
    tilde = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids("~")
    tensors["transformer.wte.weight"][tilde] = math.nan
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def arguments(folder, base, pairs, settings, *more, micro_batch):
    return [
        *("train", "--settings", json.dumps(COMMON | settings), "--model", base, "--pairs", pairs),
        *("--micro-batch", micro_batch, "--threads", 1, "--checkpoint", folder / "checkpoint"),
        *("--record", folder / "train.json", "--metrics", folder / "metrics.jsonl", *more),
    ]


def only_the_first_can_read(base, folder):
    """Return the name of a model that is whole for the first rank alone."""
    shutil.copytree(base, folder / "base 0")
    shutil.copytree(base, folder / "base 1", ignore=shutil.ignore_patterns("*.safetensors"))
    return folder / "base {rank}"


def test_two_ranks_give_the_weights_of_one_and_stop_together(base, pairs, tmp_path, warm_process):
    ids = pq.read_table(pairs)["id"].to_pylist()
    generator = np.random.default_rng(0)
    shift = generator.normal(scale=5, size=len(ids))
    reference = tmp_path / "reference.parquet"
    frozen = {"id": ids, "chosen": shift - 40, "rejected": np.full(len(ids), -40.0)}
    pq.write_table(pa.table(frozen), reference)

    settings = SETTINGS["dpo"] | {
        "adam": ADAM | {"epsilon": 1e-4},
        "conflict": {"kind": "explicit", "alpha": 0.5},
        "schedule": "constant",
        "warmup": 0.5,
    }
    more = ["--reference", reference]
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    broken = broken_base(tmp_path / "broken")
    rows = pq.read_table(pairs).to_pylist()
    rows[4]["chosen"] += "~"
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "tilde.parquet")

    alone = train(one, base, pairs, settings, *more, micro_batch=8)
    said = run_on_two_ranks(
        warm_process,
        *arguments(
            two,
            only_the_first_can_read(base, tmp_path),
            pairs,
            settings,
            *more,
            micro_batch=1,
        ),
    )
    assert [status for status, _ in said] == [0, 0], said
    said = run_on_two_ranks(
        warm_process,
        *arguments(
            three, broken, tmp_path / "tilde.parquet", SETTINGS["reward_model"], micro_batch=4
        ),
    )
    for status, stderr in said:
        assert status == 1, stderr
        # One rank had the pair in its share; both name it.
        assert "pairs gt-000004;" in stderr
    assert not (three / "checkpoint").exists()
    together = json.loads((two / "train.json").read_text())
    assert (alone["ranks"], together["ranks"]) == (1, 2)
    assert together["losses"] == pytest.approx(alone["losses"], abs=1e-6)
    assert together["tokens"] == alone["tokens"]
    numbers = ("step", "loss", "margin", "accuracy", "learning_rate")
    for mine, theirs in zip(metrics(one), metrics(two), strict=True):
        assert [mine[n] for n in numbers] == pytest.approx([theirs[n] for n in numbers], abs=1e-5)
    expected = weights(one)
    for name, weight in weights(two).items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-6)


def test_a_micro_batch_that_ranks_cannot_share_out_is_refused(base, pairs, tmp_path, warm_process):
    argv = arguments(tmp_path, base, pairs, SETTINGS["sft"], micro_batch=8)
    for status, stderr in run_on_two_ranks(warm_process, *argv):
        assert status == 1
        assert "8 on each of 2 ranks does not divide the batch of 8 pairs" in stderr


def test_a_process_of_a_slurm_step_finds_its_place(monkeypatch):
    """As srun sets its variables: the second rank on the second of two nodes."""
    step = {
        **{"SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS": "4", "SLURM_JOB_NUM_NODES": "2"},
        **{"SLURM_JOB_ID": "17", "SLURM_JOB_NODELIST": "gpu[3-4]", "SLURM_NODEID": "1"},
        **{"SLURM_PROCID": "3", "SLURM_LOCALID": "1"},
    }
    places = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    cleared = (*places, "SUBMITIT_EXECUTOR", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")

    def joined(**more):
        for name in cleared:
            # Set first, so that what `join` sets is taken back after the test.
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
        for name, value in (step | more).items():
            monkeypatch.setenv(name, value)
        ranks.join()
        return [os.environ.get(name) for name in places[:5]]

    assert joined(CUDA_VISIBLE_DEVICES="0,1") == ["3", "4", "1", "2", "gpu3"]
    # The cluster shows each rank its own GPU alone.
    assert joined(CUDA_VISIBLE_DEVICES="1") == ["3", "4", "0", "2", "gpu3"]
    # One process in an allocation for four: the batch script itself, or a step of its own.
    assert joined(SLURM_STEP_NUM_TASKS="1") == [None] * 5


@pytest.fixture(scope="module")
def more_pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("data") / "twenty_steps.parquet", 162)


TWENTY_STEPS = SETTINGS["simpo"] | {"adam": ADAM | {"epsilon": 1e-4}}


@pytest.fixture(scope="module")
def margins_of_one_rank(base, more_pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    assert train(folder, base, more_pairs, TWENTY_STEPS, micro_batch=8)["steps"] == 20
    return margins_after(folder, more_pairs)


def margins_after(folder, pairs):
    """Return the margins of the model that was trained in ``folder``."""
    settings = json.dumps({"objective": "simpo", "max_length": 48, "compat": {}})
    run_stage(
        *("predict", "--settings", settings, "--model", folder / "checkpoint", "--pairs", pairs),
        *("--micro-batch", 8, "--threads", 1, "--output", folder / "predictions.parquet"),
    )
    return margins(folder / "predictions.parquet")


@pytest.mark.parametrize(
    "more",
    [
        ["--zero", 0],
        ["--zero", 2],
        ["--zero", 3],
        ["--zero", 2, "--offload", 1, "--checkpointing", 1],
        ["--zero", 3, "--offload", 1],
    ],
    ids=lambda more: " ".join(map(str, more)),
)
def test_two_ranks_give_the_margins_of_one_whatever_they_share_out(
    more, base, more_pairs, margins_of_one_rank, tmp_path, warm_process
):
    of_first = only_the_first_can_read(base, tmp_path)
    argv = arguments(tmp_path, of_first, more_pairs, TWENTY_STEPS, *more, micro_batch=1)
    said = run_on_two_ranks(warm_process, *argv)
    assert [status for status, _ in said] == [0, 0], said
    np.testing.assert_allclose(
        margins_after(tmp_path, more_pairs), margins_of_one_rank, rtol=0, atol=1e-4
    )


def launch(argv):
    """Start a stage on two ranks through the launcher."""
    launcher = [sys.executable, "-m", "workflow_scripts.launch", "--ranks", "2", "--"]
    return subprocess.Popen(
        [*launcher, *map(str, argv)],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ranks_of_the_launcher_stop_at_one_step_and_go_on_with_another_zero_stage(
    base, more_pairs, margins_of_one_rank, tmp_path
):
    """ZeRO-3 until told to stop, then ZeRO-2: the state is of neither."""

    def launched(*more):
        return launch(arguments(tmp_path, base, more_pairs, TWENTY_STEPS, *more, micro_batch=2))

    state = tmp_path / "state"
    with held(tmp_path, lambda: launched("--zero", 3, "--states", state)) as (first, lines):
        (controller,) = children(first.pid)
        with stopped(children(controller)) as ranks_of_first:
            first.terminate()
            wait_until_pending(signal.SIGTERM, ranks_of_first)
        lines.release()
        stderr = first.communicate(timeout=300)[1]
    assert first.returncode == 1, stderr
    assert stderr.count("as told (SIGTERM); the state is in") == 1
    assert len(list(state.iterdir())) == 1
    second = launched("--zero", 2, "--states", state)
    stderr = second.communicate(timeout=300)[1]
    assert second.returncode == 0, stderr
    assert "going on after step" in stderr
    np.testing.assert_allclose(
        margins_after(tmp_path, more_pairs), margins_of_one_rank, rtol=0, atol=1e-4
    )


def test_a_rank_that_dies_takes_the_others_with_it(base, more_pairs, tmp_path):
    endless = TWENTY_STEPS | {"epochs": 2000}
    state = ["--states", tmp_path / "state"]
    launcher = launch(arguments(tmp_path, base, more_pairs, endless, *state, micro_batch=2))
    while not (tmp_path / "metrics.jsonl").exists() and launcher.poll() is None:
        time.sleep(0.05)
    (controller,) = children(launcher.pid)
    os.kill(children(controller)[1], signal.SIGKILL)
    stderr = launcher.communicate(timeout=300)[1]
    assert launcher.returncode != 0
    assert "error: another rank ended before this one" in stderr
    assert "error: rank 1 was killed" in stderr
