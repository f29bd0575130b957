"""A training that waits where a test wants it to: its metrics are a pipe that is soon full.

However late the test looks, and however slow the machine is, the training has not gone on.
"""

import fcntl
import os
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CAPACITY = 4 * 4096
"""Bytes of the pipe: more than the metrics of a test's training."""
LINE = 250
"""Bytes that a line of metrics does not exceed."""


class HeldMetrics:
    """A pipe in place of a file of metrics, in which there is room for a few lines.

    Attributes:
        path: the pipe, to be given as the training's metrics.
    """

    def __init__(self, path: Path, lines: int, before: int = 0) -> None:
        """Make the pipe and all but fill it.

        Args:
            path: where it is to be.
            lines: how many lines there is room for; the line after waits for `release`.
            before: bytes of the lines of earlier attempts, which a training writes first.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path)
        self.path = path
        # Open for both, so that neither end waits for the other to be opened.
        self._pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        assert fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, CAPACITY) == CAPACITY
        self._filled = CAPACITY - before - lines * LINE
        assert os.write(self._pipe, bytes(self._filled)) == self._filled

    def written(self) -> int:
        """Return how many bytes the training has written."""
        waiting = struct.unpack("i", fcntl.ioctl(self._pipe, termios.FIONREAD, bytes(4)))[0]
        return waiting - self._filled

    def release(self) -> None:
        """Take what is there, so that the training can write again."""
        os.read(self._pipe, CAPACITY)

    def remove(self) -> None:
        """Delete the pipe, as Snakemake deletes the outputs of a job that failed."""
        os.close(self._pipe)
        self.path.unlink()


@contextmanager
def held(
    folder: Path, start: Callable[[], subprocess.Popen[str]], lines: int = 2
) -> Iterator[tuple[subprocess.Popen[str], HeldMetrics]]:
    """Start a training whose metrics are in ``folder``, and wait until it has written a line.

    Within the context it cannot go further than ``lines`` lines; what it has not written by the end
    is lost.
    """
    metrics = HeldMetrics(folder / "metrics.jsonl", lines)
    training = start()
    try:
        while not metrics.written():
            assert training.poll() is None, training.communicate()[1]
            time.sleep(0.01)
        yield training, metrics
    finally:
        metrics.remove()
