"""Run one stage on several ranks of this machine: ``python -m workflow_scripts.launch --help``.

For machines without Slurm; under Slurm, ``srun python -m workflow_scripts STAGE`` does it.
"""

import argparse
import contextlib
import fcntl
import logging
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from workflow_scripts import __main__ as stages
from workflow_scripts.runtime import gpus, ranks, threads

PATIENCE = 60.0
"""Seconds that the other ranks are given to end once one has failed."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


def main(argv: list[str]) -> int:
    """Run a stage on so many ranks and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m workflow_scripts.launch",
        description="Run one stage on several ranks of this machine, one GPU each where there are "
        "GPUs. Signals reach every rank; what the first rank says, and what another says beyond "
        "that, is said on standard error.",
    )
    parser.add_argument("--ranks", type=int, required=True, help="processes that train together")
    parser.add_argument("stage", nargs=argparse.REMAINDER, help="-- STAGE and its arguments")
    parsed = parser.parse_args(argv)
    stage = parsed.stage[1:] if parsed.stage[:1] == ["--"] else parsed.stage
    if not stage or stage[0] not in stages.STAGES:
        parser.error(f"after -- comes one of {', '.join(stages.STAGES)}")
    if parsed.ranks == 1:
        return stages.main(stage)
    return launch(parsed.ranks, stage)


def launch(count: int, stage: list[str]) -> int:
    """Run ``stage`` on ``count`` ranks through submitit's local executor.

    Returns:
        0 if every rank's status is 0, else the first other status.
    """
    import submitit

    with tempfile.TemporaryDirectory(prefix="w2s-ranks-") as name:
        folder = Path(name)
        with (folder / "lock").open("w") as lock:
            # Each rank waits for this lock and ends itself when it gets it: when this process is
            # gone, however that happened.
            fcntl.flock(lock, fcntl.LOCK_EX)
            executor = submitit.LocalExecutor(folder)
            executor.update_parameters(
                tasks_per_node=count, gpus_per_node=count, timeout_min=60 * 24 * 365
            )
            gpus.take(count)
            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
            job = executor.submit(_rank, stage, str(folder / "lock"), visible)
            return _attend(job, count)


def _attend(job: Any, count: int) -> int:
    """Pass on signals and the ranks' words until all ranks have ended."""

    def forward(_number: int, _frame: Any) -> None:
        # submitit's controller passes on this one, and a training stops at any.
        job._process.send_signal(signal.SIGTERM)

    for number in _SIGNALS:
        signal.signal(number, forward)
    outputs = [Path(job.task(rank).paths.stderr) for rank in range(count)]
    while not outputs[0].exists() and not job.done():
        time.sleep(0.05)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(outputs[0].open(encoding="utf-8", errors="replace"))
        said: set[str] = set()
        failed_at: float | None = None
        while not job.done():
            _pass_on(first, said)
            statuses = [_status(job.task(rank)) for rank in range(count)]
            if failed_at is None and any(status not in (None, 0) for status in statuses):
                failed_at = time.monotonic()
            if failed_at is not None and time.monotonic() - failed_at > PATIENCE:
                break
            time.sleep(0.1)
        _pass_on(first, said)
        for output in outputs[1:]:
            with output.open(encoding="utf-8", errors="replace") as file:
                _pass_on(file, said)
    statuses = [_status(job.task(rank)) for rank in range(count)]
    if None in statuses:
        rank = statuses.index(None)
        print(f"error: rank {rank} was killed (out of memory?)", file=sys.stderr)
        return next((status for status in statuses if status), 137)
    return next((status for status in statuses if status), 0)


def _pass_on(file: IO[str], said: set[str]) -> None:
    """Print the lines of ``file`` that are new, and not yet said by another rank."""
    for line in file:
        words = re.sub(r"^error: rank \d+: ", "error: ", line)
        if words not in said:
            sys.stderr.write(line)
        said.add(words)
    sys.stderr.flush()


def _status(task: Any) -> int | None:
    """Return a rank's exit status, 1 after an exception, or None while it has none."""
    from submitit.core.utils import pickle_load

    if not task.paths.result_pickle.exists():
        return None
    # Not task.result(), which waits for the other ranks.
    outcome, result = pickle_load(task.paths.result_pickle)
    return result if outcome == "success" else 1


def _rank(stage: list[str], lock: str, visible: str | None) -> int:
    """Be one rank, in a process of its own: run the stage and return its exit status."""
    if visible is None:
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
    logging.getLogger("submitit").setLevel(logging.WARNING)
    threads.start(_end_with, lock)
    ranks.export()
    return stages.run_stage(stage)


def _end_with(lock: str) -> None:
    """Wait for the launcher's end, then end this process."""
    with open(lock) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    # By its name, so that the ranks can import what they are to run.
    from workflow_scripts import launch as this

    sys.exit(this.main(sys.argv[1:]))
