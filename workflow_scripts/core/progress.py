"""Progress with the time left, on a terminal and in a log."""

import contextlib
import sys
import time
from typing import TextIO

import rich.console
import rich.progress

CHANGES_NO_RESULT = "what a running job shows of its progress"


class Progress:
    """Progress with the time left: a bar on a terminal, elsewhere a line a minute."""

    SILENCE = 60.0
    """Seconds between two lines where there is no terminal."""

    def __init__(
        self, title: str, total: int, unit: str, stream: TextIO | None = None, *, done: int = 0
    ) -> None:
        """Begin.

        Args:
            title: what is being done.
            total: how much there is to do, in ``unit``.
            unit: such as "steps".
            stream: where to show it; standard error unless given.
            done: how much of ``total`` was done before.
        """
        self._stream = stream or sys.stderr
        self._title, self._total, self._unit = title, total, unit
        self._before = done
        self._began = self._last_line = time.monotonic()
        self._bar: rich.progress.Progress | None = None
        if self._stream.isatty():
            self._bar = rich.progress.Progress(
                rich.progress.TextColumn("{task.description}"),
                rich.progress.BarColumn(),
                rich.progress.MofNCompleteColumn(),
                rich.progress.TextColumn(unit),
                rich.progress.TimeElapsedColumn(),
                rich.progress.TextColumn("left"),
                rich.progress.TimeRemainingColumn(),
                console=rich.console.Console(file=self._stream),
            )
            self._task = self._bar.add_task(title, total=total, completed=done)
            self._bar.start()

    def reach(self, done: int) -> None:
        """Show that ``done`` of the total are done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
            return
        now = time.monotonic()
        if now - self._last_line >= self.SILENCE and done > self._before:
            left = (now - self._began) / (done - self._before) * (self._total - done)
            line = f"{self._title}: {done} of {self._total} {self._unit}, {_minutes(left)} left"
            # A full disk, say that of the log, ends no work.
            with contextlib.suppress(OSError):
                print(line, file=self._stream, flush=True)
            self._last_line = now

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()


def _minutes(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
