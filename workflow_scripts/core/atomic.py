"""Write files and folders whole or not at all."""

import os
import re
import resource
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CHANGES_NO_RESULT = "how a file gets on the disk, not what is in it"

WRITTEN: set[Path] = set()
"""The files and folders that this process has written."""
_ROOM = 256_000_000
"""More bytes than a library asks for at once where it does without if it gets none."""


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary sibling of ``path`` that takes its place only if the block succeeds.

    Works for a file and for a folder. A crash, even ``kill -9``, leaves the old ``path`` or none,
    never half of one. A folder's files are readable by whom the folder is: safetensors writes its
    own for their owner alone.

    Raises:
        MemoryError: if what was written may have been computed with too little memory.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    # A container gives its processes the same ids again: what a killed one left is in the way.
    remove(partial)
    try:
        yield partial
        _check_memory()
        _make_readable(partial)
        _flush(partial)
        _replace(path, partial)
        _flush(path.parent)
        WRITTEN.add(path)
    finally:
        remove(partial)


def remove(path: Path) -> None:
    """Delete a file or a folder, where there is one, as far as that is possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()


def _check_memory() -> None:
    """Check that this process never came near its limit of address space, where it has one.

    MKL, which gets no memory for its copies, sums in another order and says nothing of it.

    Raises:
        MemoryError: if it did.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    status = Path("/proc/self/status")
    if limit == resource.RLIM_INFINITY or not status.exists():
        return
    peak = re.search(r"VmPeak:\s*(\d+) kB", status.read_text(encoding="utf-8"))
    if peak and 1024 * int(peak[1]) + _ROOM > limit:
        raise MemoryError(f"the address space may have no more than {limit} bytes")


def _replace(path: Path, partial: Path) -> None:
    """Move ``partial`` to ``path``, where a folder cannot take the place of another at once."""
    if path.is_symlink() or not (path.is_dir() or (path.exists() and partial.is_dir())):
        partial.replace(path)
        return
    old = path.with_name(f".{path.name}.{os.getpid()}.old.partial")
    remove(old)
    path.rename(old)
    partial.rename(path)
    remove(old)


def _make_readable(path: Path) -> None:
    """Give a folder's files the permissions of the folder, as the umask has made them."""
    if path.is_dir():
        mode = stat.S_IMODE(path.stat().st_mode) & 0o666
        for file in path.rglob("*"):
            if file.is_file() and not file.is_symlink():
                file.chmod(mode)


def _flush(path: Path) -> None:
    """Force ``path``, and what a folder that is being written holds directly, to disk."""
    entries = [path]
    if path.name.endswith(".partial") and path.is_dir():
        entries = [*path.iterdir(), path]
    for entry in entries:
        descriptor = os.open(entry, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
