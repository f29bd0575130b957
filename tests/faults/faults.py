"""What can befall a run, how it is brought about, and what must come out."""

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.faults.work import Work, finished
from tests.shared.disks import disk

SAME = "the same bytes from the same commands"
ONE_LINE = "one line, and then the same bytes"
KILLED = "one line or the job's end, and then the same bytes"
TRAINING = ("train", "predict")


class Fault(NamedTuple):
    """Something that goes wrong.

    Attributes:
        name: what it is.
        how: how it is brought about.
        outcome: what must come out.
        tries: how often it is brought about, each time otherwise.
        steps: the steps that are then run again.
        bring: brings it about for the n-th time; in its context nothing stands in the way any more.
            Gives what the processes have printed.
    """

    name: str
    how: str
    outcome: str
    tries: int
    steps: Sequence[str]
    bring: Callable[[Work, int, Random], AbstractContextManager[list[str]]]

    @property
    def needs_disks(self) -> bool:
        """Whether it takes disks of its own."""
        return "disk" in self.how


def signalled(number: signal.Signals, step: str) -> Fault:
    """Return a fault: a step gets a signal at any moment."""

    @contextmanager
    def bring(work: Work, _number: int, random: Random) -> Iterator[list[str]]:
        process = work.start(step)
        time.sleep(random.uniform(0, work.seconds[step]))
        for pid in work.warm.children():
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        yield [finished(process)]

    tries = {"train": 3, "figures": 1}.get(step, 2)
    steps = TRAINING if step == "train" else (step,)
    how = f"{number.name} at a random moment"
    return Fault(f"{number.name} ends {DOING[step]}", how, SAME, tries, steps, bring)


DOING = {
    "data": "preparing data",
    "train": "a training, in a step or in a save",
    "predict": "a readout",
    "probe": "a probe",
    "cells": "the table of cells",
    "tables": "the report's tables",
    "figures": "the figures",
    "page": "the page",
}


def full(step: str, *sizes: int) -> Fault:
    """Return a fault: the disk is full in a step, and has room again later."""

    @contextmanager
    def bring(work: Work, number: int, _random: Random) -> Iterator[list[str]]:
        with disk(work.folder, sizes[number % len(sizes)]):
            printed = [finished(work.start(one)) for one in steps]
            subprocess.run(["mount", "-o", "remount,size=8m", work.folder], check=True)
            yield printed

    steps = TRAINING if step == "train" else (step,)
    how = f"a disk of {', '.join(map(str, sizes))} KiB"
    return Fault(f"the disk is full in {DOING[step]}", how, ONE_LINE, len(sizes), steps, bring)


@contextmanager
def no_temporary_folder(work: Work, number: int, _random: Random) -> Iterator[list[str]]:
    """Work where the temporary folder is full, or is none that can be written to."""
    temporary = work.folder / "temporary"
    temporary.mkdir()
    with disk(temporary, 4):
        (temporary / "full").write_bytes(bytes(4096))
        if number % 2:
            subprocess.run(["mount", "-o", "remount,ro", temporary], check=True)
        yield [finished(work.start(step, TMPDIR=str(temporary))) for step in TRAINING]


def interrupted(work: Work) -> list[str]:
    """Kill a training once it has a state, and return what was printed."""
    printed = []
    while not work.states():
        process = work.start("train")
        while process.poll() is None and not work.states():
            time.sleep(0.002)
        for pid in work.warm.children():
            os.kill(pid, signal.SIGKILL)
        printed.append(finished(process))
        shutil.rmtree(work.folder / ".state/finished", ignore_errors=True)
    return printed


@contextmanager
def flipped_state(work: Work, number: int, random: Random) -> Iterator[list[str]]:
    """Flip a bit of a state from which a training is to go on."""
    printed = interrupted(work)
    flip(work.states()[number % len(work.states())], random)
    yield printed


@contextmanager
def flipped_finished(work: Work, number: int, random: Random) -> Iterator[list[str]]:
    """Flip a bit of what is kept of a finished training, whose outputs are deleted."""
    work.finish_training()
    flip(work.kept()[number % len(work.kept())], random)
    yield []


@contextmanager
def clock_that_goes_back(work: Work, number: int, _random: Random) -> Iterator[list[str]]:
    """Have all that an attempt has written be of tomorrow."""
    if number % 2:
        printed: list[str] = []
        work.finish_training()
    else:
        printed = interrupted(work)
    tomorrow = time.time() + 86_400
    for path in work.folder.rglob("*"):
        os.utime(path, (tomorrow, tomorrow))
    yield printed


@contextmanager
def two_runs(work: Work, _number: int, random: Random) -> Iterator[list[str]]:
    """Train twice at the same time to the same outputs."""
    first = work.start("train")
    time.sleep(random.uniform(0, work.seconds["train"]))
    second = work.start("train")
    yield [finished(first), finished(second)]


@contextmanager
def no_memory(work: Work, _number: int, random: Random) -> Iterator[list[str]]:
    """Let a training get no more memory from some step on."""
    process = work.start("train")
    while process.poll() is None and not work.states():
        time.sleep(0.002)
    time.sleep(random.uniform(0, work.seconds["train"] / 4))
    for pid in work.warm.children():
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_AS, (0, 0))
    yield [finished(process)]


def flip(path: Path, random: Random) -> None:
    """Flip one bit of a file, in place."""
    with path.open("r+b") as file:
        place = random.randrange(path.stat().st_size)
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ (1 << random.randrange(8))]))


FAULTS = (
    *(signalled(signal.SIGKILL, step) for step in DOING),
    *(signalled(signal.SIGTERM, step) for step in DOING),
    full("train", 4, 64, 140, 180, 300),
    full("predict", 4, 8),
    full("probe", 4, 8),
    full("cells", 4, 12, 20),
    full("tables", 4, 8),
    full("figures", 400),
    full("page", 40, 200),
    full("data", 4, 12, 20),
    Fault(
        "the temporary folder is full, or cannot be written to",
        "a small disk as TMPDIR",
        SAME,
        2,
        TRAINING,
        no_temporary_folder,
    ),
    Fault(
        "memory runs out in a training",
        "a limit of its address space at a random moment",
        KILLED,
        4,
        TRAINING,
        no_memory,
    ),
    Fault(
        "a bit flips in a state",
        "in each of its files in turn",
        SAME,
        4,
        TRAINING,
        flipped_state,
    ),
    Fault(
        "a bit flips in what is kept of a finished training",
        "in each of its files in turn",
        SAME,
        7,
        TRAINING,
        flipped_finished,
    ),
    Fault(
        "the clock goes back by a day",
        "all files are of tomorrow",
        SAME,
        2,
        TRAINING,
        clock_that_goes_back,
    ),
    Fault(
        "two runs train the same model in one folder",
        "the second begins at a random moment of the first",
        SAME,
        3,
        TRAINING,
        two_runs,
    ),
)
