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

from tests.shared.held_metrics import HeldMetrics, held
from tests.shared.trainings import ADAM, COMMON, SETTINGS, metrics, weights, write_pairs
from workflow_scripts.core.errors import UserError
from workflow_scripts.runtime import failures

pytestmark = pytest.mark.slow

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


@pytest.fixture(scope="module")
def interrupt(start, warm_process):
    """Return a function that starts a training, interrupts it and returns what it printed."""

    def interrupted(folder, number=signal.SIGTERM):
        with held(folder, lambda: start(folder)) as (training, metrics):
            (process,) = warm_process.children()
            os.kill(process, number)
            metrics.release()
            stderr = training.communicate(timeout=300)[1]
        assert training.returncode == 1, stderr
        return stderr

    return interrupted


def finish(training):
    """Wait for a training that is to succeed, and return what it printed."""
    stderr = training.communicate(timeout=300)[1]
    assert training.returncode == 0, stderr
    return stderr


@pytest.fixture(scope="module")
def unbroken(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    finish(start(folder))
    return folder


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
    assert [path.name for path in (folder / "state").iterdir()] == ["finished"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT])
def test_told_to_stop_it_saves_and_goes_on_to_the_same_bytes(
    number, interrupt, start, unbroken, tmp_path
):
    stderr = interrupt(tmp_path, number)
    assert f"of 60 as told ({number.name}); the state is in {tmp_path}/state: run again" in stderr
    assert not (tmp_path / "checkpoint").exists()
    assert "going on after step" in finish(start(tmp_path))
    assert_the_same(tmp_path, unbroken)


def test_a_signal_to_the_command_stops_the_training(start, tmp_path):
    """The command waits for a process that a warm one has forked, and passes the signal on."""
    endless = start(tmp_path, settings=LONG | {"epochs": 10_000})
    while not (tmp_path / "metrics.jsonl").exists():
        assert endless.poll() is None, endless.communicate()[1]
        time.sleep(0.01)
    endless.terminate()
    assert "of 200000 as told (SIGTERM)" in endless.communicate(timeout=300)[1]


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(start, unbroken, tmp_path, warm_process):
    """Saving after every step, so that it is most often killed while it saves."""
    moments = random.Random("kill -9")
    states = tmp_path / "state"
    kills = 0
    for _ in range(6):
        before = sorted(states.glob("step-*"))
        # Six times these lines are fewer than there are.
        pipe = HeldMetrics(tmp_path / "metrics.jsonl", 6, before=size_of_metrics(before))
        training = start(tmp_path, "--save-minutes", 0)
        while sorted(states.glob("step-*")) in ([], before):
            assert training.poll() is None, training.communicate()[1]
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.1))
        for pid in warm_process.children():
            os.kill(pid, signal.SIGKILL)
            kills += 1
        training.communicate(timeout=300)
        pipe.remove()
        # Neither a half-written nor a half-deleted state may be taken for one.
        for state in states.glob("step-*"):
            names = [file.name for file in state.iterdir()]
            assert sorted(names) == ["part-00000.safetensors", "progress.json"]
    assert kills == 6
    finish(start(tmp_path, "--save-minutes", 0))
    assert_the_same(tmp_path, unbroken)


def test_it_goes_on_with_another_micro_batch(interrupt, start, unbroken, tmp_path):
    interrupt(tmp_path)
    finish(start(tmp_path, "--checkpointing", 1, micro_batch=4))
    expected = weights(unbroken)
    for name, weight in weights(tmp_path).items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-5)


def size_of_metrics(states):
    """Return how many bytes of metrics were written up to the last of these states."""
    if not states:
        return 0
    lines = json.loads((states[-1] / "progress.json").read_text())["progress"]["lines"]
    return sum(len(line) + 1 for line in lines)


def test_a_state_of_other_settings_inputs_or_code_is_ignored(interrupt, start, pairs, tmp_path):
    interrupt(tmp_path / "first")
    assert len(list((tmp_path / "first/state").iterdir())) == 1
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
        stderr = finish(start(folder, *more, **changed))
        assert "other settings, inputs or code; starting again" in stderr
        assert_the_same(folder, alone)


def test_a_state_that_cannot_be_read_is_set_aside_and_the_training_starts_again(
    interrupt, start, unbroken, tmp_path
):
    interrupt(tmp_path)
    (progress,) = tmp_path.glob("state/*/progress.json")
    progress.write_bytes(b"")
    stray = tmp_path / "state/notes.txt"
    stray.write_text("mine")
    stderr = finish(start(tmp_path))
    assert f"{progress.parent}: cannot be read (" in stderr
    assert "going on after step" not in stderr
    # What is not a state is left, and fails no training.
    assert stray.exists()
    stray.unlink()
    assert_the_same(tmp_path, unbroken)


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
