"""Write files and folders whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHANGES_NO_RESULT = "how a file gets on the disk, not what is in it"

WRITTEN: set[Path] = set()
"""The files and folders that this process has written."""


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary sibling of ``path`` that takes its place only if the block succeeds.

    Works for a file and for a folder. A crash, even ``kill -9``, leaves the old ``path`` or none,
    never half of one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        _flush(partial)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        partial.replace(path)
        _flush(path.parent)
        WRITTEN.add(path)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Force ``path``, and what a folder holds directly, to disk."""
    for entry in (
        [*path.iterdir(), path] if path.name.endswith(".partial") and path.is_dir() else [path]
    ):
        descriptor = os.open(entry, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
