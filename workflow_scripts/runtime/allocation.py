"""Memory that a process frees and takes again."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""glibc's numbers of the two settings (mallopt(3))."""
_KEPT = 1 << 30
_LARGEST = 1 << 28


def keep_freed_memory() -> None:
    """Have the C library keep what one step frees for the next one.

    By default glibc gives large blocks back to the kernel, which clears every page when a step asks
    for it again. That is a twentieth of a training's time on a CPU. Up to 1 GiB is kept, of blocks
    of up to 256 MiB. Other C libraries are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return
    setting = getattr(ctypes.CDLL(None), "mallopt", None)
    if setting is not None:
        setting(_MMAP_THRESHOLD, _LARGEST)
        setting(_TRIM_THRESHOLD, _KEPT)
