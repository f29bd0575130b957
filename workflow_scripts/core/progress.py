"""Progress with the time left, on a terminal, in a log, and for the run that a job is part of."""

import contextlib
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import rich.console
import rich.progress

CHANGES_NO_RESULT = "what a running job shows of its progress"

FOLDER_VARIABLE = "W2S_PROGRESS"
"""Names the folder in which the jobs of a run on this machine say how far they have come."""


@dataclass(frozen=True)
class Reached:
    """How far a job has come: ``done`` of ``total``, and what else there is to say of it."""

    title: str
    done: int
    total: int
    unit: str
    seconds_left: float | None = None
    note: str = ""

    def line(self) -> str:
        """Return it in one line."""
        said = f"{self.title}: {self.done} of {self.total} {self.unit}"
        if self.note:
            said += f", {self.note}"
        return f"{said}, {self.left} left" if self.left else said

    @property
    def left(self) -> str:
        """The time left, empty where there is no telling."""
        if self.seconds_left is None:
            return ""
        minutes, seconds = divmod(round(self.seconds_left), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02}"


class Progress:
    """Progress with the time left: a bar on a terminal, elsewhere a line a minute."""

    SILENCE = 60.0
    """Seconds between two lines where there is no terminal."""
    _REFRESH = 0.5
    """Seconds between two changes of the file for the run."""

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
        self._last_file = 0.0
        folder = os.environ.get(FOLDER_VARIABLE)
        self._file = Path(folder, f"{os.getpid()}.json") if folder else None
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
        self._tell(self._reached(done, ""))

    def reach(self, done: int, note: str = "") -> None:
        """Show that ``done`` of the total are done, and a word on them, such as the loss."""
        now = time.monotonic()
        if now - self._last_file >= self._REFRESH:
            self._tell(self._reached(done, note))
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
            return
        if now - self._last_line >= self.SILENCE and done > self._before:
            # A full disk, say that of the log, ends no work.
            with contextlib.suppress(OSError):
                print(self._reached(done, note).line(), file=self._stream, flush=True)
            self._last_line = now

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.unlink(missing_ok=True)

    def _reached(self, done: int, note: str) -> Reached:
        left = None
        if done > self._before:
            passed = time.monotonic() - self._began
            left = passed / (done - self._before) * (self._total - done)
        return Reached(self._title, done, self._total, self._unit, left, note)

    def _tell(self, reached: Reached) -> None:
        """Write it for the run; whoever reads it sees all of it or what was there before."""
        if self._file is None:
            return
        self._last_file = time.monotonic()
        partial = self._file.with_suffix(".partial")
        with contextlib.suppress(OSError):
            partial.write_text(json.dumps(asdict(reached)), encoding="utf-8")
            partial.replace(self._file)
