"""One training has one writer, whichever host and job it is in."""

import logging
import multiprocessing
import multiprocessing.process
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import torch

from tests.shared.trainings import SETTINGS, train
from workflow_scripts.core.errors import UserError
from workflow_scripts.training import writer
from workflow_scripts.training.states import WEIGHT, Progress, State
from workflow_scripts.training.writer import Writer

FORKED = multiprocessing.get_context("fork")


def hold(states: Path, held: Event, seconds: float) -> None:
    """Be a training, for so many seconds."""
    mine = Writer(states)
    held.set()
    time.sleep(seconds)
    mine.release()


@contextmanager
def another(states: Path, seconds: float = 60) -> Iterator[multiprocessing.process.BaseProcess]:
    """Have another process be the writer."""
    held = FORKED.Event()
    process = FORKED.Process(target=hold, args=(states, held, seconds))
    process.start()
    assert held.wait(60)
    try:
        yield process
    finally:
        process.kill()
        process.join()


@pytest.mark.parametrize("job", [None, "4711"])
def test_a_second_one_that_need_not_wait_ends_with_one_line(
    job: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if job:
        monkeypatch.setenv("SLURM_JOB_ID", job)
    with another(tmp_path / "run") as first:
        monkeypatch.setattr(writer, "PATIENCE", 0.0)
        monkeypatch.setenv("SLURM_JOB_ID", "4712")
        with pytest.raises(UserError) as refused:
            Writer(tmp_path / "run")
    who = f"Slurm job {job}" if job else f"process {first.pid}"
    end = f"`scancel {job}`" if job else "end it"
    assert str(refused.value) == (
        f"{tmp_path}/run: {who} on {socket.gethostname()} trains this; wait for that, or {end}, "
        "and run the same command again"
    )


def test_a_second_one_waits_and_finds_what_the_first_has_made(
    base: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(writer, "_MOMENT", 0.01)
    states = tmp_path / ".state"

    def run() -> None:
        train(tmp_path / "run", base, pairs, SETTINGS["simpo"], "--states", states)

    with another(states / "run", seconds=0.3) as first:
        began = time.monotonic()
        run()
        assert time.monotonic() - began > 0.2
        assert first.exitcode == 0 or not first.is_alive()
    weights = tmp_path / "run/checkpoint/model.safetensors"
    made = weights.stat().st_ino
    run()
    assert weights.stat().st_ino == made
    assert [path.name for path in (states / "run").iterdir()] == ["finished"]


def test_one_that_was_killed_is_in_nobodys_way(tmp_path: Path):
    with another(tmp_path / "run") as first:
        first.kill()
        first.join()
    Writer(tmp_path / "run").release()
    assert not (tmp_path / "run").exists()


def test_a_save_deletes_no_state_of_somebody_else(tmp_path: Path):
    tensors = {f"{WEIGHT}/layer": torch.ones(2)}
    mine = State(tmp_path, "this training")
    theirs = State(tmp_path, "this training")
    assert theirs.save(Progress([[0.5]] * 7), tensors.items())
    for steps in (1, 2):
        assert mine.save(Progress([[0.5]] * steps), tensors.items())
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-00000002", "step-00000007"]
    mine.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000007"]


def test_a_rank_waits_for_the_first_of_its_training_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "MASTER_PORT": "12345"}.items():
        monkeypatch.setenv(name, value)
    waits = threading.Event()
    monkeypatch.setattr(time, "sleep", lambda _seconds: waits.set())
    second = threading.Thread(target=Writer, args=(tmp_path / "state",))
    second.start()
    assert waits.wait(60)
    monkeypatch.setenv("RANK", "0")
    first = Writer(tmp_path / "state")
    second.join(60)
    assert not second.is_alive()
    first.release()
    assert not caplog.records
