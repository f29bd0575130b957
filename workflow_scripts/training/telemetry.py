"""What a run shows while it goes (progress, metrics) and leaves behind (its record)."""

import contextlib
import json
import logging
import os
import platform
import resource
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from workflow_scripts.core import atomic
from workflow_scripts.core.errors import UserError, first_line
from workflow_scripts.core.progress import Progress
from workflow_scripts.runtime import ranks

CHANGES_NO_RESULT = "progress, metrics and the record of what a training cost"

logger = logging.getLogger(__name__)

_PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "safetensors", "numpy")


@dataclass(frozen=True)
class Course:
    """What happened in a training.

    Attributes:
        losses: the mean loss over the batch, by step.
        tokens: real tokens processed, padding not counted.
        seconds: from the first step to the last.
    """

    losses: list[float]
    tokens: int
    seconds: float


class ProgressOfTraining(TrainerCallback):
    """Shows the progress of a training."""

    def __init__(self, title: str) -> None:
        """Name the training on the bar."""
        self._title = title
        self._progress: Progress | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Begin the bar."""
        if state.is_world_process_zero:
            self._progress = Progress(self._title, state.max_steps, "steps", done=state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Move the bar, and say the loss that was logged last."""
        if self._progress is not None:
            losses = [logs["loss"] for logs in state.log_history[-2:] if "loss" in logs]
            self._progress.reach(state.global_step, f"loss {losses[-1]:.4f}" if losses else "")

    def close(self) -> None:
        """Leave the terminal as it was, also where training failed."""
        if self._progress is not None:
            self._progress.close()


class MetricsLines(TrainerCallback):
    """Writes one JSON object a logging step, as it happens, to be watched with ``tail -f``.

    Attributes:
        lines: what has been written, by line.
    """

    def __init__(self, path: Path | str, before: Sequence[str] = ()) -> None:
        """Name the file, opened when training begins, and the lines of earlier attempts."""
        self._path = Path(path)
        self._file: TextIO | None = None
        self._incomplete = False
        self.lines = list(before)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Open the file."""
        if state.is_world_process_zero:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("w", encoding="utf-8", buffering=1)
            self._file.writelines(f"{line}\n" for line in self.lines)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Write a line for each log of a loss, on the pairs of training or on those held out."""
        if self._file is not None and logs and not logs.keys().isdisjoint(("loss", "eval_loss")):
            self.lines.append(json.dumps({"step": state.global_step, **logs}, sort_keys=True))
            try:
                print(self.lines[-1], file=self._file)
            except OSError as error:
                # The disk is full: there may be room again when the file is closed.
                self._incomplete = True
                logger.warning("%s: a line cannot be written (%s)", self._path, first_line(error))

    def close(self) -> None:
        """Close the file, also where training failed; write lines again that are missing in it.

        Raises:
            OSError: if there is still no room for them.
        """
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            # What could not be written is still in its buffer, and would be tried again.
            self._file.close()
        if self._incomplete:
            with atomic.atomic_path(self._path) as partial:
                partial.write_text("".join(f"{line}\n" for line in self.lines), encoding="utf-8")
        atomic.WRITTEN.add(self._path)


def record(
    course: Course, settings: Mapping[str, Any], examples: int, micro_batch: int
) -> dict[str, Any]:
    """Return a training's record (``train.json``)."""
    return {
        "steps": len(course.losses),
        "loss": {
            "first": course.losses[0],
            "last": course.losses[-1],
            "mean": statistics.fmean(course.losses),
        },
        "losses": course.losses,
        "tokens": course.tokens,
        "seconds": round(course.seconds, 3),
        "peak_memory_bytes": _peak_memory_bytes(),
        "device": _device_name(),
        "threads": torch.get_num_threads(),
        "micro_batch": micro_batch,
        "ranks": ranks.count(),
        "pairs": examples,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
        "settings": dict(settings),
    }


def _device_name() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"cpu ({platform.machine()})"


def _peak_memory_bytes() -> int:
    """Return the most memory used so far: the accelerator's where there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return resident if sys.platform == "darwin" else resident * 1024


def check_services(names: Sequence[str]) -> None:
    """Check that what logs are reported to is installed, and needs no answer on the terminal.

    Raises:
        UserError: naming what is not.
    """
    for name in names:
        if find_spec(name) is None:
            raise UserError(
                f"execution.report_to: {name} is not installed; run "
                f"`.venv/bin/python -m pip install {name}`, or leave it out"
            )
    if "wandb" in names and "WANDB_API_KEY" not in os.environ:
        # Otherwise it would ask who it is that logs in.
        os.environ.setdefault("WANDB_MODE", "offline")


def tensorboard(folder: Path, done: int) -> TrainerCallback:
    """Return what logs to TensorBoard, in place of what was logged after ``done`` steps."""
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations.integration_utils import TensorBoardCallback

    return TensorBoardCallback(SummaryWriter(folder, purge_step=done + 1))
