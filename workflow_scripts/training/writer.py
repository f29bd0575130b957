"""One training, one writer: who writes a training's state and outputs, wherever it runs.

Whoever trains holds a lock in the folder of the training's states, which says on which host and in
which Slurm job. The kernel releases it when its process is gone, NFS's server when its host is. So
another one that is to make the same outputs, since Snakemake was killed and started again while its
jobs ran on, waits for the first, and then finds its outputs.
"""

import json
import logging
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from workflow_scripts.core.errors import UserError, first_line
from workflow_scripts.runtime import ranks, slurm_job

CHANGES_NO_RESULT = "who may write, not what"

logger = logging.getLogger(__name__)

PATIENCE = 600.0
"""Seconds to wait for another writer: as long as one may take to save its state and end."""
_LOCK = "writer.lock"
_MOMENT = 1.0


class Writer:
    """The right to write a training's state and outputs, held by its first rank for all of them."""

    def __init__(self, states: Path) -> None:
        """Take it, once nobody else has it.

        Args:
            states: the folder of the training's states.

        Raises:
            UserError: if somebody else still has it after a while.
        """
        self._file = states / _LOCK
        self._until = time.monotonic() + PATIENCE
        self._lock: FileLock | None = None
        self._said = False
        if ranks.is_first():
            self._take()
        else:
            self._follow()

    def release(self) -> None:
        """Let others write."""
        if self._lock is None:
            return
        # While it is held: who waits for the file that is gone then looks for a new one.
        with suppress(OSError):
            self._file.unlink()
        self._lock.release()
        self._lock = None
        with suppress(OSError):  # where there is something in it
            self._file.parent.rmdir()

    def _take(self) -> None:
        lock = FileLock(self._file, fallback_to_soft=False)
        while True:
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                lock.acquire(blocking=False)
            except FileNotFoundError:
                continue  # the one before has just removed its folder
            except Timeout:
                self._wait(self._holder())
                continue
            except (OSError, NotImplementedError) as error:
                logger.warning("%s: cannot be locked (%s)", self._file.parent, first_line(error))
            # Where locks do not reach from host to host, Slurm knows whether its job still runs.
            if not self._runs_elsewhere():
                break
            lock.release()
            self._wait(self._holder())
        self._lock = lock
        with suppress(OSError):
            self._file.write_text(json.dumps(_this_process()), encoding="utf-8")

    def _follow(self) -> None:
        """Wait for the first rank: until then another training may go on."""
        while (holder := self._holder()).get("meeting") != _meeting():
            self._wait(holder)

    def _wait(self, holder: dict[str, Any]) -> None:
        job, host = holder.get("job"), holder.get("host", "another host")
        who = f"Slurm job {job} on {host}" if job else f"process {holder.get('process')} on {host}"
        if time.monotonic() > self._until:
            end = f"`scancel {job}`" if job else "end it"
            raise UserError(
                f"{self._file.parent}: {who} trains this; wait for that, or {end}, and run the "
                "same command again"
            )
        # Nobody is named yet where a rank waits for the first one of its own training to begin.
        if holder and not self._said:
            logger.info("%s: %s trains this; waiting for it to end", self._file.parent, who)
            self._said = True
        time.sleep(_MOMENT)

    def _runs_elsewhere(self) -> bool:
        job = self._holder().get("job")
        return job is not None and job != slurm_job.own() and slurm_job.is_running(job)

    def _holder(self) -> dict[str, Any]:
        try:
            holder = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return holder if isinstance(holder, dict) else {}


def _this_process() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "job": slurm_job.own(),
        "meeting": _meeting(),
    }


def _meeting() -> str:
    """Return where the ranks of this training meet, which sets it apart from others."""
    names = ("SLURM_JOB_ID", "SLURM_STEP_ID", "MASTER_ADDR", "MASTER_PORT")
    return " ".join(os.environ.get(name, "") for name in names)
