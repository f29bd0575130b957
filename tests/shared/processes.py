"""Processes that a test looks at and stops, by what Linux says of them."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def children(pid: int) -> list[int]:
    """Return the ids of a process's children."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


@contextmanager
def stopped(pids: Sequence[int]) -> Iterator[Sequence[int]]:
    """Stop processes within the context: signals wait for them to go on."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        # A thread that has not stopped yet would take the signal.
        _wait(lambda: all(_status(thread, "State")[0] == "T" for thread in _threads(pids)))
        yield pids
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def wait_until_pending(number: signal.Signals, pids: Sequence[int]) -> None:
    """Wait until a signal has been sent to every one of these stopped processes."""
    bit = 1 << (number - 1)
    _wait(lambda: all(int(_status(Path(f"/proc/{pid}"), "ShdPnd"), 16) & bit for pid in pids))


def catches(number: signal.Signals, pid: int) -> bool:
    """Return whether a process is there and has a handler for a signal."""
    try:
        return bool(int(_status(Path(f"/proc/{pid}"), "SigCgt"), 16) & 1 << (number - 1))
    except OSError:
        return False


def _threads(pids: Sequence[int]) -> Iterator[Path]:
    for pid in pids:
        yield from Path(f"/proc/{pid}/task").iterdir()


def _status(place: Path, name: str) -> str:
    """Return a field of a process's or a thread's status."""
    lines = (place / "status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))


def _wait(condition: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
