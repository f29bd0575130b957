"""Threads that wait for something until the process ends."""

import _thread
from collections.abc import Callable
from typing import Any

CHANGES_NO_RESULT = "who is told of whose end"


def start(wait: Callable[..., None], *arguments: Any) -> None:
    """Start a thread that no exit waits for.

    Not by ``threading.Thread``: where memory is full, its ``start`` waits for ever for one that
    could not begin.
    """
    _thread.start_new_thread(wait, arguments)
