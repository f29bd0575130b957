"""Go on from where an interrupted training was, to the same result as without the interruption.

A training that is told to stop (SIGTERM, or what Slurm sends before a time limit, a preemption or
a requeue) finishes its step, writes its state and ends with an error. It also writes its state
every so many minutes, for a node that dies. The next attempt goes on from there.

Nothing random is drawn while a training runs (no dropout, and the order of the data is fixed
beforehand), so weights, Adam's moments and the number of steps are all that there is to keep.
"""

import hashlib
import logging
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import canonical_json
from workflow_scripts.runtime import ranks, slurm_job
from workflow_scripts.training import finished
from workflow_scripts.training.execution import Execution
from workflow_scripts.training.states import MOMENTS, WEIGHT, Progress, State
from workflow_scripts.training.writer import Writer

CHANGES_NO_RESULT = "going on after an interruption; tests hold the result to be the same"

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
_VERSIONS = ("torch", "transformers", "deepspeed")


class Attempt:
    """One try at a training, as a context: what it goes on from, and when it is to stop.

    While it lasts, signals that ask for an end are noted and obeyed between two steps; a second
    Ctrl-C ends this process at once. Leaving it without an error deletes the state and keeps the
    outputs, which are complete, for another attempt (``training.finished``).
    """

    def __init__(
        self,
        execution: Execution,
        code: str,
        settings: Mapping[str, Any],
        inputs: Iterable[str | Path | None],
        outputs: Iterable[str | Path],
    ) -> None:
        """Look for a state; without ``execution.state`` there is none and none is kept.

        Nobody else writes it, or the outputs, from here on.

        Args:
            execution: names the state's folder, and how often it is written.
            code: digest of the training stage's code.
            settings: what the training's result depends on.
            inputs: the files and folders that it reads; None stands for no file.
            outputs: the folder of its model, and the other files that it writes.

        Raises:
            UserError: if somebody else is training this.
        """
        self._state = self._writer = None
        self._outputs = [Path(output) for output in outputs]
        self._kept = execution.state
        if self._kept is not None:
            self._writer = Writer(self._kept)
            self._fingerprint = fingerprint(code, settings, inputs)
            self._state = State(execution.saved or self._kept, self._fingerprint)
            if ranks.is_first() and execution.states is not None:
                finished.clear(execution.states, model_alone=True)
        self.progress = Progress() if self._state is None else self._state.progress()
        self._period = 60 * execution.save_minutes
        self._saved = time.monotonic()
        self._asked: signal.Signals | None = None
        self._replaced: dict[signal.Signals, Any] = {}
        self.to_save = self.to_stop = self._unsaved = False

    def has_finished(self) -> bool:
        """Return whether the training has finished before; its outputs are in place then."""
        if self._kept is None or not finished.restore(self._kept, self._fingerprint, self._outputs):
            return False
        self._release()
        return True

    def __enter__(self) -> Self:
        if self._state is not None:
            self._replaced = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._state is not None and kind is None and ranks.is_first():
            assert self._kept is not None, "where there is a state"
            finished.keep(self._kept, self._fingerprint, self._outputs)
            self._state.remove()
        self._release()
        for number, handler in self._replaced.items():
            signal.signal(number, handler)

    def _release(self) -> None:
        if self._writer is not None:
            self._writer.release()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._asked = signal.Signals(number)
        # Not so for the others: Slurm, srun and Snakemake may each pass on the same one.
        if number == signal.SIGINT:
            signal.signal(number, self._replaced[self._asked])

    def wishes(self) -> tuple[bool, bool]:
        """Return whether this rank would stop, and whether it would save."""
        if self._state is None:
            return False, False
        due = ranks.is_first() and time.monotonic() - self._saved >= self._period
        return self._asked is not None, due

    def agree(self, stop: bool, save: bool) -> None:
        """Note what any of the ranks wishes."""
        self.to_stop, self.to_save = stop, save or stop

    def restore_weights(self, model: nn.Module) -> None:
        """Put the state's weights, where there is one, in place of the model's."""
        if self._state is not None and self.progress.steps:
            logger.info("going on after step %d from %s", self.progress.steps, self._state.folder)
            with torch.no_grad():
                for _, name, weight in self._state.tensors(WEIGHT):
                    model.get_parameter(name).copy_(weight)

    def moments(self) -> Iterator[tuple[str, str, Tensor]]:
        """Yield the state's moments: which of the two, its weight's name, its values."""
        assert self._state is not None, "there is a state where there is progress"
        return self._state.tensors(*MOMENTS)

    def save(self, progress: Progress, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Write a state; where that fails the one before stays, and the training goes on."""
        assert self._state is not None, "only a training with a state saves"
        self._unsaved = not self._state.save(progress, tensors)
        self._saved = time.monotonic()
        self.to_save = False

    def stopped(self, steps: int, of: int) -> UserError:
        """Return what to raise once a training has stopped before its end."""
        assert self._state is not None, "only a training with a state stops"
        asked = f" ({self._asked.name})" if self._asked is not None else ""
        where = f"the state is in {self._state.folder}: run again to go on from there"
        # A time limit ends a job and not the training: that goes on in as many jobs as it takes.
        further = steps > self.progress.steps and not self._unsaved
        if further and ranks.is_first() and slurm_job.start_again():
            where = f"the state is in {self._state.folder}: Slurm starts this job again"
        if self._unsaved:
            where = f"its state could not be saved: run again to go on from {self._state.last()}"
        return UserError(f"stopped after step {steps} of {of} as told{asked}; {where}")


class KeepState(TrainerCallback):
    """Makes the Trainer begin where the last attempt ended, save, and stop where asked to."""

    def __init__(self, attempt: Attempt) -> None:
        """Keep the state of ``attempt``."""
        self._attempt = attempt

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Count on from the steps that are done."""
        state.global_step = self._attempt.progress.steps

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Save or stop, but not after the last step, when there is nothing left to go on with."""
        if state.global_step < state.max_steps:
            control.should_save = self._attempt.to_save
            control.should_training_stop = self._attempt.to_stop


def fingerprint(code: str, settings: Mapping[str, Any], inputs: Iterable[str | Path | None]) -> str:
    """Return a digest of all that a training's result depends on, the libraries too."""
    content = {
        "settings": settings,
        "inputs": [None if path is None else _digest(Path(path)) for path in inputs],
        "code": code,
        "versions": {name: version(name) for name in _VERSIONS},
    }
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def _digest(path: Path) -> str:
    """Return the digest of a file, or of a folder's files and their names."""
    digest = hashlib.sha256()
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in files:
        if file.is_file():
            digest.update(f"{file.relative_to(path)}\0".encode())
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()
