"""Have Snakemake obey SIGTERM at any moment.

Its handler waits for locks that the main thread, in which handlers run, may hold just then: while
it chooses the next jobs, most of all. It then waits for ever. In a thread of its own it waits until
the jobs are chosen. And once all is done, what it is told no longer makes it fail.
"""

import atexit
import functools
import signal
from collections.abc import Callable
from typing import Any, Protocol

from workflow_scripts.runtime import threads

CHANGES_NO_RESULT = "how soon a run ends that is told to"


_told = False


class Scheduler(Protocol):
    """What Snakemake chooses jobs by, and what it does when it is told to stop."""

    exit_gracefully: Callable[..., None]


def in_a_thread(scheduler: type[Scheduler]) -> None:
    """Have the handler of a scheduler, as of now, run in a thread of its own.

    Args:
        scheduler: Snakemake's class.
    """
    stop = scheduler.exit_gracefully

    @functools.wraps(stop)
    def started(self: Scheduler, *signalled: Any) -> None:
        global _told
        _told = True
        threads.start(stop, self, *signalled)

    scheduler.exit_gracefully = started
    atexit.register(signal.signal, signal.SIGTERM, signal.SIG_IGN)


def was_told() -> bool:
    """Return whether this process has been told to stop."""
    return _told
