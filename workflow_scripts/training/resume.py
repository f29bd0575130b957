"""Go on from where an interrupted training was, to the same result as without the interruption.

A training that is told to stop (SIGTERM, or what Slurm sends before a time limit, a preemption or
a requeue) finishes its step, writes its state and ends with an error. It also writes its state
every so many minutes, for a node that dies. The next attempt goes on from there. A state is whole
or absent, holds tensors and JSON alone, and does not depend on micro-batch, ranks or ZeRO stage:

    results/.state/<path of the output>/step-00000120/progress.json
                                                      part-00000.safetensors, ...

Nothing random is drawn while a training runs (no dropout, and the order of the data is fixed
beforehand), so weights, Adam's moments and the number of steps are all that there is to keep.
"""

import hashlib
import logging
import shutil
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from workflow_scripts.core.atomic import atomic_path
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import canonical_json, read_json, write_json
from workflow_scripts.runtime import ranks
from workflow_scripts.training.execution import Execution

CHANGES_NO_RESULT = "going on after an interruption; tests hold the result to be the same"

logger = logging.getLogger(__name__)

WEIGHT = "weight"
MOMENTS = ("exp_avg", "exp_avg_sq")
"""Adam's running means of the gradient and of its square, as torch calls them."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
_PART_BYTES = 2_000_000_000
_VERSIONS = ("torch", "transformers", "deepspeed")


@dataclass(frozen=True)
class Progress:
    """How far a training has come.

    Attributes:
        history: the mean loss and, for pairs, margin and accuracy, by step.
        lines: what its metrics hold, by line.
        seconds: how long it has taken.
    """

    history: list[list[float]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def steps(self) -> int:
        """Steps done."""
        return len(self.history)


class State:
    """The folder in which one training's states are kept, at most one of them for long."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        """Name the folder; a state with another fingerprint is none of this training's."""
        self.folder = folder
        self._fingerprint = fingerprint
        self._found = self._latest()

    def progress(self) -> Progress:
        """Return how far the state that was found has come: nowhere where there is none."""
        if self._found is None:
            return Progress()
        return Progress(**read_json(self._found / "progress.json")["progress"])

    def tensors(self, *kinds: str) -> Iterator[tuple[str, str, Tensor]]:
        """Yield the found state's tensors: each one's kind, its weight's name, its values.

        Raises:
            UserError: if a file is damaged.
        """
        assert self._found is not None, "there is a state where there is progress"
        for part in sorted(self._found.glob("part-*.safetensors")):
            try:
                with safe_open(part, "pt") as file:
                    for key in file.keys():  # noqa: SIM118 - it is no dictionary
                        kind, name = key.split("/", 1)
                        if kind in kinds:
                            yield kind, name, file.get_tensor(key)
            except SafetensorError as error:
                raise UserError(
                    f"{part}: cannot be read ({error}); delete {self.folder} and run again"
                ) from error

    def save(self, progress: Progress, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Write a state and then delete the one before.

        On all ranks, since it takes all of them to put a shared-out tensor together; the first
        one writes.
        """
        if not ranks.is_first():
            for _ in tensors:
                pass
            return
        path = self.folder / f"step-{progress.steps:08d}"
        if path.exists():
            _discard(path)
        with atomic_path(path) as partial:
            partial.mkdir()
            for number, part in enumerate(_parts(tensors)):
                save_file(part, partial / f"part-{number:05d}.safetensors")
            content = {"fingerprint": self._fingerprint, "progress": asdict(progress)}
            write_json(partial / "progress.json", content)
        for other in list(self.folder.iterdir()):
            if other != path:
                _discard(other)

    def remove(self) -> None:
        """Delete all states."""
        if self.folder.exists():
            for path in list(self.folder.iterdir()):
                _discard(path)
            self.folder.rmdir()

    def _latest(self) -> Path | None:
        """Return the newest whole state of this very training."""
        for path in sorted(self.folder.glob("step-*"), reverse=True):
            if read_json(path / "progress.json")["fingerprint"] == self._fingerprint:
                return path
            logger.warning("%s: is of other settings, inputs or code; starting anew", path)
        return None


class Attempt:
    """One try at a training, as a context: what it goes on from, and when it is to stop.

    While it lasts, signals that ask for an end are noted and obeyed between two steps; a second
    Ctrl-C ends this process at once. Leaving it without an error deletes the state: the training's
    output is complete.
    """

    def __init__(
        self,
        execution: Execution,
        code: str,
        settings: Mapping[str, Any],
        inputs: Iterable[str | Path | None],
    ) -> None:
        """Look for a state; without ``execution.state`` there is none and none is kept.

        Args:
            execution: names the state's folder, and how often it is written.
            code: digest of the training stage's code.
            settings: what the training's result depends on.
            inputs: the files and folders that it reads; None stands for no file.
        """
        self._state = None
        if execution.state is not None:
            self._state = State(execution.state, fingerprint(code, settings, inputs))
        self.progress = Progress() if self._state is None else self._state.progress()
        self._period = 60 * execution.save_minutes
        self._saved = time.monotonic()
        self._asked: signal.Signals | None = None
        self._replaced: dict[signal.Signals, Any] = {}
        self.to_save = self.to_stop = False

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
            self._state.remove()
        for number, handler in self._replaced.items():
            signal.signal(number, handler)

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
        """Write a state."""
        assert self._state is not None, "only a training with a state saves"
        self._state.save(progress, tensors)
        self._saved = time.monotonic()
        self.to_save = False

    def stopped(self, steps: int, of: int) -> UserError:
        """Return what to raise once a training has stopped before its end."""
        assert self._state is not None, "only a training with a state stops"
        asked = f" ({self._asked.name})" if self._asked is not None else ""
        return UserError(
            f"stopped after step {steps} of {of} as told{asked}; the state is in "
            f"{self._state.folder}: run again to go on from there"
        )


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


def _discard(path: Path) -> None:
    """Delete a state, or what is left of one, so that no half of it is ever taken for a state."""
    if not path.name.startswith("."):
        hidden = path.with_name(f".{path.name}.gone")
        shutil.rmtree(hidden, ignore_errors=True)
        path = path.replace(hidden)
    shutil.rmtree(path)


def _parts(tensors: Iterable[tuple[str, Tensor]]) -> Iterator[dict[str, Tensor]]:
    """Gather tensors into files of about 2 GB, so that few are in the host's memory at once."""
    part: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors:
        part[name] = tensor.detach().to("cpu", copy=True).contiguous()
        size += part[name].nbytes
        if size >= _PART_BYTES:
            yield part
            part, size = {}, 0
    if part:
        yield part
