"""An interrupted training goes on to the very bytes that it would have ended in unbroken."""

import argparse
import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from tests.shared.trainings import ADAM, COMMON, SETTINGS, metrics, weights, write_pairs
from workflow_scripts.core.errors import UserError
from workflow_scripts.runtime import failures

LONG = COMMON | SETTINGS["simpo"] | {"epochs": 3, "adam": ADAM | {"epsilon": 1e-4}}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("data") / "gt.parquet", 162)


@pytest.fixture(scope="module")
def start(base, pairs, warm_process):
    """Return a function that starts a training in a process of its own, with its state kept."""

    def started(folder, *more, settings=LONG, micro_batch=8, pairs=pairs):
        return warm_process.stage(
            *("train", "--settings", json.dumps(settings), "--model", base, "--pairs", pairs),
            *("--micro-batch", micro_batch, "--threads", 1, "--states", folder / "state"),
            *("--checkpoint", folder / "checkpoint", "--record", folder / "train.json"),
            *("--metrics", folder / "metrics.jsonl", *more),
        )

    return started


def finish(training):
    """Wait for a training that is to succeed, and return what it said."""
    stderr = training.communicate(timeout=60)[1]
    assert training.returncode == 0, stderr
    return stderr


@pytest.fixture(scope="module")
def unbroken(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    finish(start(folder))
    return folder


def wait_for(condition, training):
    while not condition() and training.poll() is None:
        time.sleep(0.002)


def has_lines(folder, count):
    path = folder / "metrics.jsonl"
    return lambda: path.exists() and len(path.read_text().splitlines()) >= count


def assert_the_same(folder, unbroken):
    """Check that two trainings left the same files, but for what time they took."""
    for file in sorted((unbroken / "checkpoint").iterdir()):
        assert (folder / "checkpoint" / file.name).read_bytes() == file.read_bytes(), file.name
    mine, theirs = (json.loads((f / "train.json").read_text()) for f in (folder, unbroken))
    for record in (mine, theirs):
        del record["seconds"], record["peak_memory_bytes"]
    assert mine == theirs
    without_time = [
        [{name: value for name, value in line.items() if name != "seconds"} for line in metrics(f)]
        for f in (folder, unbroken)
    ]
    assert without_time[0] == without_time[1]
    assert not (folder / "state").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT])
def test_told_to_stop_it_saves_and_goes_on_to_the_same_bytes(number, start, unbroken, tmp_path):
    first = start(tmp_path)
    wait_for(has_lines(tmp_path, 3), first)
    first.send_signal(number)
    stderr = first.communicate(timeout=60)[1]
    assert first.returncode == 1, stderr
    assert f"of 60 as told ({number.name}); the state is in {tmp_path}/state: run again" in stderr
    assert not (tmp_path / "checkpoint").exists()
    # What Snakemake does with the outputs of a job that failed.
    (tmp_path / "metrics.jsonl").unlink()
    assert "going on after step" in finish(start(tmp_path))
    assert_the_same(tmp_path, unbroken)


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(start, unbroken, tmp_path, warm_process):
    """Saving after every step, so that it is most often killed while it saves."""
    moments = random.Random("kill -9")
    states = tmp_path / "state"
    kills = 0
    for _ in range(6):
        before = sorted(states.glob("step-*"))
        training = start(tmp_path, "--save-minutes", 0)
        wait_for(lambda before=before: sorted(states.glob("step-*")) not in ([], before), training)
        time.sleep(moments.uniform(0, 0.1))
        for pid in warm_process.children():
            os.kill(pid, signal.SIGKILL)
            kills += 1
        training.communicate(timeout=60)
        # Neither a half-written nor a half-deleted state may be taken for one.
        for state in states.glob("step-*"):
            names = [file.name for file in state.iterdir()]
            assert sorted(names) == ["part-00000.safetensors", "progress.json"]
    assert kills >= 4
    finish(start(tmp_path, "--save-minutes", 0))
    assert_the_same(tmp_path, unbroken)


def test_it_goes_on_with_another_micro_batch(start, unbroken, tmp_path):
    first = start(tmp_path)
    wait_for(has_lines(tmp_path, 3), first)
    first.terminate()
    first.communicate(timeout=60)
    finish(start(tmp_path, "--checkpointing", 1, micro_batch=4))
    expected = weights(unbroken)
    for name, weight in weights(tmp_path).items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-5)


def stopped(start, folder):
    """Leave the state of an interrupted training in ``folder``."""
    first = start(folder)
    wait_for(has_lines(folder, 3), first)
    first.terminate()
    first.communicate(timeout=60)
    assert len(list((folder / "state").iterdir())) == 1


def test_a_state_of_other_settings_inputs_or_code_is_ignored(start, pairs, tmp_path):
    stopped(start, tmp_path / "first")
    rows = pq.read_table(pairs)
    other = tmp_path / "other.parquet"
    pq.write_table(rows.take(list(range(161, -1, -1))), other)
    for name, more, changed in (
        ("settings", (), {"settings": LONG | {"learning_rate": 2e-3}}),
        ("inputs", (), {"pairs": other}),
        ("code", ("--code", "another"), {}),
    ):
        alone, folder = tmp_path / f"{name}_alone", tmp_path / name
        finish(start(alone, **changed))
        shutil.copytree(tmp_path / "first", folder)
        said = finish(start(folder, *more, **changed))
        assert "other settings, inputs or code; starting anew" in said
        assert_the_same(folder, alone)


def test_a_damaged_state_is_an_error_that_names_its_file(start, tmp_path):
    stopped(start, tmp_path)
    (part,) = tmp_path.glob("state/*/part-00000.safetensors")
    part.write_bytes(part.read_bytes()[:-1])
    training = start(tmp_path)
    stderr = training.communicate(timeout=60)[1]
    assert training.returncode == 1
    assert f"error: {part}: cannot be read" in stderr


def fill_memory():
    torch.empty(10**15)


def fill_memory_of_python():
    bytearray(10**18)


def fill_disk():
    with Path("/dev/full").open("w") as file:
        file.write("x" * 100_000)


@pytest.mark.parametrize(
    ("fail", "line"),
    [
        (fill_memory, "out of memory with micro-batch 8; lower execution.micro_batch (a retry"),
        (fill_memory_of_python, "out of memory with micro-batch 8; lower execution.micro_batch"),
        (fill_disk, "results/checkpoint: no space left on the disk; free some and run again"),
    ],
)
def test_a_full_memory_or_disk_is_one_line_with_its_mend(fail, line):
    args = argparse.Namespace(micro_batch=8, checkpoint="results/checkpoint")
    with pytest.raises((RuntimeError, MemoryError, OSError)) as failure:
        fail()
    said = failures.line_of(failure.value, args)
    assert said is not None
    assert said.startswith(line)
    assert failures.line_of(UserError("mend it"), args) == "mend it"
    assert failures.line_of(KeyError("a bug"), args) is None
