"""What Snakemake says on the terminal: which cell, what failed and what to do, and no more.

Snakemake's own switch, ``quiet``, hides a job's error together with its start, and hides nothing of
one kind of run alone. So this adds filters to its logger, which are the standard library's:

* a job's end says which cell it is, as its start does;
* a dry run prints the table of jobs and why they would run, and each job only with ``-p``;
* ``plan``, ``verify`` and other commands print what they found, and nothing of Snakemake's;
* the last lines of a run that failed are, for each failed job, its cell, its error and its log;
* why a run may not begin where another one works is one line.

The log file in ``.snakemake/log`` and logger plugins get everything.
"""

import atexit
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from snakemake_interface_logger_plugins.common import LogEvent

CHANGES_NO_RESULT = "only prints"

_OF_JOBS = (LogEvent.WORKFLOW_STARTED, LogEvent.JOB_INFO, LogEvent.GROUP_INFO, LogEvent.SHELLCMD)
_LOCKED = "Directory cannot be locked"
_NO_JOBS_ABOVE = (
    "(check individual jobs above for details)",
    "(add -p to see each job, its own reason and its command)",
)


class Failure(NamedTuple):
    """A job that failed: its message, the line that says why, and its logs."""

    job: str
    error: str
    logs: list[str]


def attach(
    logger: logging.Logger,
    *,
    brief: bool,
    is_command: Callable[[], bool] = lambda: False,
    refusal: Callable[[], str] | None = None,
) -> None:
    """Add the filters to Snakemake's logger.

    Args:
        logger: ``snakemake.logging.logger``.
        brief: whether jobs are left out, as in a dry run.
        is_command: whether only commands were asked for; known once the targets are.
        refusal: says why a run may not begin in a folder that Snakemake finds locked.
    """
    record = _Record()
    logger.addFilter(record)
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(
            handler, logging.FileHandler
        ):
            handler.addFilter(_Terminal(record, brief, is_command, refusal))
    # Snakemake logs more after its `onerror`, so the end of the process is the last place.
    atexit.register(lambda: record.print_failures(is_command()))


class _Record(logging.Filter):
    """Keeps which jobs there are and which failed; names the cell at a job's end."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: dict[int, Failure] = {}
        self.held: list[str] = []
        self._jobs: dict[int, str] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Look at a record, and let it pass."""
        said: Any = record
        match getattr(record, "event", None):
            case LogEvent.JOB_INFO:
                self._jobs[said.jobid] = said.rule_msg or said.rule_name
            case LogEvent.JOB_FINISHED:
                # A job that failed may succeed when it is tried again.
                self.failures.pop(said.job_id, None)
                if said.job_id in self._jobs:
                    record.msg = f"Job {said.job_id} is done: {self._jobs[said.job_id]}"
            # Those of a group come once more, whether they failed or not.
            case LogEvent.JOB_ERROR if not said.indent:
                self._failed(said.jobid, said.rule_name, said.log)
            case LogEvent.GROUP_ERROR:
                infos = said.job_error_info
                with_error = [one for one in infos if _error_in(one["log"]).startswith("error: ")]
                for info in with_error or infos:
                    self._failed(info["jobid"], info["rule_name"], [*info["log"], *said.aux_logs])
        return True

    def print_failures(self, is_command: bool) -> None:
        """Print, for each job that failed, its cell, its error, its log and what to do."""
        if is_command:
            for line in [failure.error for failure in self.failures.values()] or self.held:
                print(line, file=sys.stderr)
            return
        for failure in self.failures.values():
            print(f"\nFailed: {failure.job}", file=sys.stderr)
            print(f"    {failure.error}", file=sys.stderr)
            print(f"    log: {', '.join(failure.logs)}", file=sys.stderr)
        if self.failures:
            advice = "Fix it and run the same command again: what is finished stands."
            print(advice, file=sys.stderr)

    def _failed(self, jobid: int, rule: str, logs: list[str]) -> None:
        # Read now: when the process ends, it is in another folder.
        self.failures[jobid] = Failure(self._jobs.get(jobid, rule), _error_in(logs), logs)


class _Terminal(logging.Filter):
    """Keeps from the terminal what nobody asked for there."""

    def __init__(
        self,
        record: _Record,
        brief: bool,
        is_command: Callable[[], bool],
        refusal: Callable[[], str] | None,
    ) -> None:
        super().__init__()
        self._record = record
        self._brief = brief
        self._is_command = is_command
        self._refusal = refusal
        self._tables: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is printed."""
        event = getattr(record, "event", None)
        if self._refusal and _LOCKED in record.getMessage():
            record.msg, record.args = self._refusal(), ()
        if self._is_command():
            if record.levelno >= logging.ERROR:
                # Printed at the end, if no job's own error says it better.
                self._record.held.append(record.getMessage())
            return record.levelno == logging.WARNING
        if self._brief and isinstance(record.msg, str):
            record.msg = record.msg.replace(*_NO_JOBS_ABOVE)
        if self._brief and event == LogEvent.RUN_INFO:
            # Snakemake prints the table of jobs before and after a dry run's jobs.
            repeated = record.getMessage() in self._tables
            self._tables.add(record.getMessage())
            return not repeated
        return not (self._brief and event in _OF_JOBS)


def _error_in(logs: list[str]) -> str:
    """Return the last line of the logs that is an error, or the last line of all."""
    lines = [line for log in logs for line in _lines(log) if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return next(reversed(errors or lines), "its log is empty")


def _lines(log: str) -> list[str]:
    try:
        return Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
