"""Memory that a process frees and takes again."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""glibc's numbers of the two settings (mallopt(3))."""
_KEPT = 1 << 30
_LARGEST = (1 << 28, 1 << 25)
"""The second is the most that older releases of glibc take."""


def keep_freed_memory() -> bool:
    """Have the C library keep what one step frees for the next one; return whether it does.

    By default glibc gives large blocks back to the kernel, which clears every page when a step asks
    for it again. That is a twentieth of a training's time on a CPU. Blocks of up to 256 MiB (in
    older releases 32) are kept from now on, except for what is beyond 1 GiB behind the last one in
    use; larger blocks still go back. Other C libraries are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return False
    setting = getattr(ctypes.CDLL(None), "mallopt", None)
    # Either setting fixes the other one, so that the first must be taken before.
    return setting is not None and any(
        setting(_MMAP_THRESHOLD, largest) and setting(_TRIM_THRESHOLD, _KEPT)
        for largest in _LARGEST
    )
