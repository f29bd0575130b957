"""Which runs work in this folder, so that what a killed one has locked is taken over.

Snakemake locks the files of a run in ``.snakemake/locks`` and does not note for whom, so after a
power loss or ``kill -9`` it asks for ``--unlock``. Each run therefore leaves a mark in
``.snakemake/runs``, which it and its jobs hold by a lock of the kernel, which goes when they do,
however they end. Locks are taken over where every mark is that of a run that was killed on this
machine. Of another machine, which may share this folder, nobody here can tell.

A second lock is Snakemake's alone: a job on its machine waits for it, and so learns of its end.

Snakemake deletes the folder of all locks at the end of a run, one that had nothing to do among
them. Here each run deletes its own locks alone.
"""

import atexit
import fcntl
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from workflow_scripts.runtime import slurm_job, threads

CHANGES_NO_RESULT = "says which run may work in a folder"

VARIABLE = "W2S_RUN"
"""Names the mark of the run that a job is of."""
LOCKS = Path(".snakemake/locks")
RUNS = Path(".snakemake/runs")
UNLOCK = "snakemake --unlock"
_held: list[int] = []
"""File descriptors, open as long as this process lives."""
_theirs: set[Path] = set()
"""The locks that were here before this run."""
_caller = os.environ.get(VARIABLE)
"""The mark of the run of which this one is a job, as of the one that adopts results."""


class Persistence(Protocol):
    """What Snakemake keeps in its folder, and which of the locks there are its own."""

    _lockfile: dict[str, str]
    unlock: Callable[..., None]


class _Marks(NamedTuple):
    """The marks of other runs, by whether these work."""

    working: list[Mapping[str, Any]]
    killed: list[Path]
    elsewhere: list[Mapping[str, Any]]


def enter() -> str | None:
    """Mark that a run begins in this folder, and take over what a killed one has locked.

    Returns:
        What was taken over, in one line; None where nothing was, and where nothing can be marked.
    """
    taken = None
    with suppress(OSError), _alone():
        marks = _marks()
        if marks.killed and not marks.working and not marks.elsewhere and _locked():
            shutil.rmtree(LOCKS)
            taken = (
                "The run before this one was killed, and left these results locked: this one takes "
                "over."
            )
        for mark in marks.killed if taken or not _locked() else ():
            _remove(mark)
        _theirs.update(_locks())
        _leave_mark()
    return taken


def unlock_own_alone(persistence: type[Persistence]) -> None:
    """Have runs delete no locks but their own, as of now.

    Args:
        persistence: Snakemake's class.
    """

    def unlock(self: Persistence) -> None:
        for lock in self._lockfile.values():
            Path(lock).unlink(missing_ok=True)
        self._lockfile.clear()

    persistence.unlock = unlock


def begin(*, only_reads: bool) -> str | None:
    """Look once more whether others work here, now that it is known what is to run.

    Args:
        only_reads: whether the run changes no result that others may be making.

    Returns:
        Why this run may not go on; None where it may.
    """
    if only_reads:
        # Nobody has to wait for it.
        _remove(_own())
        return None
    marks = _marks()
    return refusal() if marks.working or (marks.elsewhere and _theirs) else None


def join() -> None:
    """Hold the mark of the run that this job is of, and end where that is killed.

    Nobody takes over while a job works: a training that is told to end writes its state first. A
    cluster's jobs run on: those of the next run queue behind them.
    """
    if slurm_job.own() is not None:
        return
    with suppress(OSError, ValueError, KeyError):
        if mark := os.environ.get(VARIABLE):
            _held.append(_lock(Path(mark), fcntl.LOCK_SH))
            # Where another machine's locks are not seen, it would seem to have ended.
            if json.loads(Path(mark).read_text(encoding="utf-8"))["boot"] == _boot():
                threads.start(_end_with, _main_of(Path(mark)))


def _end_with(main: Path) -> None:
    """Wait for the end of Snakemake, then ask this process to end."""
    try:
        os.close(_lock(main, fcntl.LOCK_SH))
    except OSError:
        return
    os.kill(os.getpid(), signal.SIGTERM)


def _main_of(mark: Path) -> Path:
    """Return the file that Snakemake itself locks."""
    return mark.with_suffix(".main")


def refusal() -> str:
    """Return in one line why this run may not begin, and what to do about it."""
    marks = _marks()
    if marks.working:
        return (
            f"error: {Path.cwd()}: another run, or a job of one that was killed, works here "
            f"({_named(marks.working[0])}); wait for its end"
        )
    if marks.elsewhere:
        return (
            f"error: {Path.cwd()}: locked by a run on another machine "
            f"({_named(marks.elsewhere[0])}); if it is no longer there, type {UNLOCK}"
        )
    return (
        f"error: {Path.cwd()}: locked by a run that nothing is known of; if no other snakemake "
        f"works here, type {UNLOCK}"
    )


def forget_others() -> None:
    """Delete the marks of all runs but those that work on this machine, for ``--unlock``."""
    with suppress(OSError), _alone():
        marks = _marks()
        for mark in marks.killed:
            _remove(mark)
        for other in marks.elsewhere:
            _remove(Path(other["mark"]))


def _marks() -> _Marks:
    found = _Marks([], [], [])
    for mark in sorted({*RUNS.glob("*.json")} - {_own()}):
        if str(mark.absolute()) == _caller:
            continue
        try:
            said = json.loads(mark.read_text(encoding="utf-8"))
            here = said["host"] == socket.gethostname() or said["boot"] == _boot()
        except (OSError, ValueError, KeyError, TypeError):
            # Empty after a power loss, say: whose it was cannot be told.
            found.elsewhere.append({"mark": str(mark), "host": "unknown", "process": 0})
            continue
        if not here:
            found.elsewhere.append(said | {"mark": str(mark)})
        elif _is_held(mark):
            found.working.append(said)
        else:
            found.killed.append(mark)
    return found


def _own() -> Path:
    """Return the mark of this process's run."""
    return RUNS / f"{socket.gethostname()}-{os.getpid()}.json"


def _named(run: Mapping[str, Any]) -> str:
    since = f" since {run['since']}" if "since" in run else ""
    return f"process {run['process']} on {run['host']}{since}"


def _locks() -> set[Path]:
    return {*LOCKS.glob("*.lock")}


def _locked() -> bool:
    return bool(_locks())


@contextmanager
def _alone() -> Iterator[None]:
    """Let no other run look at marks, and leave its own, within the context."""
    RUNS.mkdir(parents=True, exist_ok=True)
    (RUNS / "lock").touch()
    descriptor = _lock(RUNS / "lock", fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def _leave_mark() -> None:
    mark = _own()
    said = {
        **{"host": socket.gethostname(), "boot": _boot(), "process": os.getpid()},
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    mark.write_text(json.dumps(said), encoding="utf-8")
    _main_of(mark).touch()
    try:
        _held.append(_lock(mark, fcntl.LOCK_SH | fcntl.LOCK_NB))
        _held.append(_lock(_main_of(mark), fcntl.LOCK_EX | fcntl.LOCK_NB))
    except OSError:
        # A file system without locks: without a mark nothing is taken over.
        _remove(mark)
        return
    os.environ[VARIABLE] = str(mark.absolute())
    atexit.register(_remove_own, mark.absolute(), os.getpid())


def _remove_own(mark: Path, process: int) -> None:
    """Remove a mark at the end of the process that left it, and not at that of a fork."""
    if os.getpid() == process:
        _remove(mark)


def _remove(mark: Path) -> None:
    for file in (mark, _main_of(mark)):
        with suppress(OSError):
            file.unlink()


def _lock(path: Path, how: int) -> int:
    """Return the descriptor of a file with a lock, which lasts until it is closed.

    Raises:
        OSError: if another process's lock is in the way, or there can be none.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _is_held(mark: Path) -> bool:
    try:
        os.close(_lock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except OSError:
        return True
    return False


def _boot() -> str:
    """Return what is another one after each start of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{sys.platform} {socket.gethostname()}"
