"""Small disks, which fill up."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def can_mount() -> bool:
    """Return whether disks can be made here."""
    return (
        os.getuid() == 0 and subprocess.run(["unshare", "-m", "true"], check=False).returncode == 0
    )


@contextmanager
def disk(folder: Path, kib: int) -> Iterator[None]:
    """Put a disk of this size at ``folder`` within the context."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)
