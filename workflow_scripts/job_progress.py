"""Shows, while a run on this machine lasts, how far each of its jobs has come.

A job writes its progress to a small file (``core.progress``); Snakemake's main process shows them
all: a bar for each job on a terminal, elsewhere a line a minute. (Snakemake's logger plugins, such
as snakemake-logger-plugin-rich, count jobs and know nothing of what goes on in one.)
"""

import atexit
import json
import logging
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TextIO

import rich.console
import rich.file_proxy
import rich.progress
import rich.table

from workflow_scripts.core.progress import FOLDER_VARIABLE, Progress, Reached

CHANGES_NO_RESULT = "only prints"

_REFRESH = 0.5
"""Seconds between two looks at the files."""
_NUMBERS = 55
"""Columns of a terminal that a bar and its numbers take."""


class JobProgress:
    """The progress of all running jobs, shown from a thread of its own until it is told to end."""

    def __init__(self, logger: logging.Logger, stream: TextIO) -> None:
        """Begin to show on ``stream``; what ``logger`` prints there comes above the bars."""
        self._stream = stream
        self._folder = Path(tempfile.mkdtemp(prefix="w2s-progress-"))
        os.environ[FOLDER_VARIABLE] = str(self._folder)
        self._ended = threading.Event()
        self._bars: rich.progress.Progress | None = None
        self._replaced: list[logging.StreamHandler[TextIO]] = []
        if stream.isatty():
            self._bars = self._begin_bars(logger)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        atexit.register(self.end)

    def end(self) -> None:
        """Leave the terminal as it was; more than once does no harm."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._thread.join()
        if self._bars is not None:
            self._bars.stop()
        for handler in self._replaced:
            handler.setStream(self._stream)
        os.environ.pop(FOLDER_VARIABLE, None)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _begin_bars(self, logger: logging.Logger) -> rich.progress.Progress:
        # Without, rich breaks what is longer than the terminal, so that no path can be copied.
        console = rich.console.Console(file=self._stream, soft_wrap=True)
        bars = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(bar_width=20),
            rich.progress.MofNCompleteColumn(table_column=rich.table.Column(no_wrap=True)),
            rich.progress.TextColumn("{task.fields[more]}"),
            console=console,
            transient=True,
        )
        above: TextIO = rich.file_proxy.FileProxy(console, self._stream)  # pyright: ignore
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is self._stream:
                handler.setStream(above)
                self._replaced.append(handler)
        bars.start()
        return bars

    def _run(self) -> None:
        tasks: dict[str, rich.progress.TaskID] = {}
        said = time.monotonic()
        while not self._ended.wait(_REFRESH):
            running = self._running()
            if self._bars is not None:
                self._show(self._bars, tasks, running)
            elif time.monotonic() - said >= Progress.SILENCE:
                said = time.monotonic()
                for reached in running.values():
                    print(reached.line(), file=self._stream, flush=True)

    def _running(self) -> dict[str, Reached]:
        """Return the progress of each running job, by its file; delete what a killed one left."""
        found = {}
        for file in sorted(self._folder.glob("*.json")):
            try:
                os.kill(int(file.stem), 0)
                found[file.name] = Reached(**json.loads(file.read_text(encoding="utf-8")))
            except ProcessLookupError:
                file.unlink(missing_ok=True)
            except (OSError, ValueError, TypeError):
                continue
        return found

    def _show(
        self,
        bars: rich.progress.Progress,
        tasks: dict[str, rich.progress.TaskID],
        running: dict[str, Reached],
    ) -> None:
        for name in tasks.keys() - running.keys():
            bars.remove_task(tasks.pop(name))
        for name, reached in running.items():
            if name not in tasks:
                tasks[name] = bars.add_task("", total=reached.total, more="")
            left = f"{reached.left} left" if reached.left else ""
            more = ", ".join(filter(None, (reached.unit, reached.note, left)))
            bars.update(
                tasks[name],
                description=_shortened(reached.title, bars.console.width - _NUMBERS),
                total=reached.total,
                completed=reached.done,
                more=more,
            )


def _shortened(title: str, most: int) -> str:
    """Return the end of a title, which tells cells apart; bars and numbers keep their room."""
    return title if len(title) <= most else f"…{title[1 - max(most, 20) :]}"


_shown: list[JobProgress] = []


def show(logger: logging.Logger) -> None:
    """Show the progress of this run's jobs from now on, on standard error."""
    _shown.append(JobProgress(logger, sys.stderr))


def end() -> None:
    """Show no more of it."""
    while _shown:
        _shown.pop().end()
