"""What can befall a training and its readout, and how it is brought about."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.shared.disks import disk
from tests.shared.trainings import COMMON, SETTINGS
from tests.shared.warm_process import Warm

TRAINING = COMMON | SETTINGS["simpo"] | {"epochs": 3}
READOUT = {"objective": "simpo", "max_length": 48, "compat": {}}
SIZES = (4, 16, 40, 64, 100, 140, 180, 240, 300, 420)
"""Disks in KiB; the model takes 60, a state 150, and two states are there for a while."""


class Work(NamedTuple):
    """A training and its readout, each in a process of its own.

    Attributes:
        folder: where their results go.
        base: the model to start from.
        pairs: to train on and to read.
        warm: what the processes are forked from.
        seconds: how long the training takes where nothing befalls it.
    """

    folder: Path
    base: Path
    pairs: Path
    warm: Warm
    seconds: float

    def train(self, **more: str) -> subprocess.Popen[str]:
        """Start the training; it saves its state after every step."""
        run = self.folder / "run"
        return self.warm.stage(
            *("train", "--settings", json.dumps(TRAINING), "--model", self.base),
            *("--pairs", self.pairs, "--micro-batch", 8, "--threads", 1, "--save-minutes", 0),
            *("--states", self.folder / ".state", "--checkpoint", run / "checkpoint"),
            *("--record", run / "train.json", "--metrics", run / "metrics.jsonl"),
            **more,
        )

    def predict(self, **more: str) -> subprocess.Popen[str]:
        """Start the readout of the trained model."""
        run = self.folder / "run"
        return self.warm.stage(
            *("predict", "--settings", json.dumps(READOUT), "--model", run / "checkpoint"),
            *("--pairs", self.pairs, "--micro-batch", 8, "--threads", 1),
            *("--output", run / "predictions.parquet"),
            **more,
        )

    def states(self) -> list[Path]:
        """Return the files of the training's states."""
        return sorted(self.folder.glob(".state/run/step-*/*"))


class Fault(NamedTuple):
    """Something that goes wrong.

    Attributes:
        name: what it is.
        tries: how often it is brought about, each time otherwise.
        bring: brings it about for the n-th time; in its context nothing stands in the way any more.
            Gives what the processes have printed.
    """

    name: str
    tries: int
    bring: Callable[[Work, int, Random], AbstractContextManager[list[str]]]


Start = Callable[[Work], "subprocess.Popen[str]"]


def signalled(
    number: signal.Signals, *before: Start, then: Start
) -> Callable[[Work, int, Random], AbstractContextManager[list[str]]]:
    """Return a fault: a process gets a signal at any moment."""

    @contextmanager
    def bring(work: Work, _number: int, random: Random) -> Iterator[list[str]]:
        printed = [finished(start(work)) for start in before]
        process = then(work)
        time.sleep(random.uniform(0, work.seconds))
        for pid in work.warm.children():
            os.kill(pid, number)
        yield [*printed, finished(process)]

    return bring


@contextmanager
def full_disk(work: Work, number: int, _random: Random) -> Iterator[list[str]]:
    """Train on a disk that is too small, which has room again later."""
    with disk(work.folder, SIZES[number]):
        printed = [finished(work.train()), finished(work.predict())]
        subprocess.run(["mount", "-o", "remount,size=8m", work.folder], check=True)
        yield printed


@contextmanager
def full_temporary_folder(work: Work, _number: int, _random: Random) -> Iterator[list[str]]:
    """Train and read where nothing can be written to the temporary folder."""
    temporary = work.folder / "temporary"
    temporary.mkdir()
    with disk(temporary, 4):
        (temporary / "full").write_bytes(bytes(4096))
        variable = {"TMPDIR": str(temporary)}
        yield [finished(work.train(**variable)), finished(work.predict(**variable))]


@contextmanager
def flipped_state(work: Work, number: int, random: Random) -> Iterator[list[str]]:
    """Flip a bit of a state from which a training is to go on."""
    printed = []
    while not work.states():
        process = work.train()
        while process.poll() is None and not work.states():
            time.sleep(0.002)
        for pid in work.warm.children():
            os.kill(pid, signal.SIGKILL)
        printed.append(finished(process))
        shutil.rmtree(work.folder / ".state/run/finished", ignore_errors=True)
    flip(work.states()[number % len(work.states())], random)
    yield printed


@contextmanager
def flipped_finished(work: Work, number: int, random: Random) -> Iterator[list[str]]:
    """Flip a bit of what is kept of a finished training, whose outputs are deleted."""
    printed = [finished(work.train())]
    kept = sorted(path for path in work.folder.glob(".state/**/finished/**/*") if path.is_file())
    flip(kept[number % len(kept)], random)
    shutil.rmtree(work.folder / "run")
    yield printed


FAULTS = (
    Fault("a training is killed at any moment", 10, signalled(signal.SIGKILL, then=Work.train)),
    Fault("a training is told to end at any moment", 6, signalled(signal.SIGTERM, then=Work.train)),
    Fault(
        "a readout is killed at any moment",
        6,
        signalled(signal.SIGKILL, Work.train, then=Work.predict),
    ),
    Fault("the disk is full, at ten sizes", len(SIZES), full_disk),
    Fault("the temporary folder is full", 1, full_temporary_folder),
    Fault("a bit flips in a state", 4, flipped_state),
    Fault("a bit flips in what is kept of a finished training", 7, flipped_finished),
)


def finished(process: subprocess.Popen[str]) -> str:
    """Wait for a process and return what it printed."""
    return process.communicate(timeout=300)[1]


def settled(work: Work) -> list[str]:
    """Run both commands, which are to succeed, and return what they printed."""
    printed = []
    for start in (work.train, work.predict):
        process = start()
        printed.append(finished(process))
        assert process.returncode == 0, printed
    return printed


def flip(path: Path, random: Random) -> None:
    """Flip one bit of a file, in place."""
    with path.open("r+b") as file:
        place = random.randrange(path.stat().st_size)
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ (1 << random.randrange(8))]))
