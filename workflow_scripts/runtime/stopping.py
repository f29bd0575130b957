"""Have Snakemake obey SIGTERM at any moment, and not fail for it once all is done.

Its handler waits for locks that the main thread, in which handlers run, may hold just then: while
it chooses the next jobs, most of all. It then waits for ever. In a thread of its own it waits until
the jobs are chosen.
"""

import atexit
import functools
import signal
from collections.abc import Callable, Collection
from typing import Any, Protocol

from workflow_scripts.runtime import threads

CHANGES_NO_RESULT = "how soon a run ends that is told to"


_told = False
"""Whether this process has been told to stop."""


class Scheduler(Protocol):
    """What Snakemake chooses jobs by, and what it does when it is told to stop."""

    exit_gracefully: Callable[..., None]
    schedule: Callable[..., bool]
    failed: Collection[Any]
    remaining_jobs: Collection[Any]


def in_a_thread(scheduler: type[Scheduler]) -> None:
    """Have the handler of a scheduler, as of now, run in a thread of its own.

    A run that was told to stop, and had nothing left to do, then counts as one that succeeded.

    Args:
        scheduler: Snakemake's class.
    """
    stop, schedule = scheduler.exit_gracefully, scheduler.schedule

    @functools.wraps(stop)
    def started(self: Scheduler, *signalled: Any) -> None:
        global _told
        _told = True
        threads.start(stop, self, *signalled)

    @functools.wraps(schedule)
    def scheduled(self: Scheduler) -> bool:
        return schedule(self) or (_told and not self.failed and not self.remaining_jobs)

    scheduler.exit_gracefully, scheduler.schedule = started, scheduled
    atexit.register(signal.signal, signal.SIGTERM, signal.SIG_IGN)


def was_told() -> bool:
    """Return whether this process has been told to stop."""
    return _told
