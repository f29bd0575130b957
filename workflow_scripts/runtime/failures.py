"""Turn expected failures (bad input, out of memory, disk full) into one-line messages.

Each message says how to fix what is wrong.
"""

import argparse
import errno

from workflow_scripts.core.errors import UserError
from workflow_scripts.runtime import ranks

_NO_MEMORY = (
    *("out of memory", "not enough memory", "can't allocate memory"),
    *("cannot allocate memory", "alloc_failed"),
)
_NO_SPACE = ("no space left on device", "disk quota exceeded")
_RANK_GONE = ("connection closed by peer", "connection reset by peer", "remote process exited")


def line_of(error: BaseException, args: argparse.Namespace) -> str | None:
    """Return the message for an expected failure of a stage, or None for an unexpected one.

    Args:
        error: what ended the stage. Libraries have no common type for a full memory or disk, so
            the words of its message decide.
        args: the stage's arguments.
    """
    if isinstance(error, UserError):
        return str(error)
    message = str(error).lower()
    if isinstance(error, MemoryError) or any(words in message for words in _NO_MEMORY):
        return (
            f"out of memory with micro-batch {getattr(args, 'micro_batch', 'of one text')}; lower "
            "execution.micro_batch (a retry halves it), or give the model more memory by `gpus`, "
            "`gpu_model`, `zero` or `offload`"
        )
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or any(words in message for words in _NO_SPACE):
        output = getattr(args, "checkpoint", None) or getattr(args, "output", "the output")
        return f"{output}: no space left on the disk; free some and run again"
    if ranks.count() > 1 and any(words in message for words in _RANK_GONE):
        return "another rank ended before this one; its message has the cause"
    return None
