"""When each step of a transformers Trainer ended, and its loss."""

import time
from typing import Any

import torch
from transformers import TrainerCallback


class Watch(TrainerCallback):
    """Note every step's end, by the clock on the wall and by this process's CPU time.

    Attributes:
        seconds: since training began, one a step.
        cpu_seconds: the same of CPU time, which other processes of the machine hardly disturb.
        losses: as logged.
    """

    def __init__(self) -> None:
        """Start with nothing noted."""
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []
        self.losses: list[float] = []
        self._began = (0.0, 0.0)

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Set both clocks."""
        self._began = (time.perf_counter(), time.process_time())

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Read both clocks."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self._began[0])
        self.cpu_seconds.append(time.process_time() - self._began[1])

    def on_log(self, *_: Any, logs: dict[str, Any], **__: Any) -> None:
        """Keep the loss."""
        if "loss" in logs:
            self.losses.append(float(logs["loss"]))

    def noted(self) -> dict[str, list[float]]:
        """Return what was noted."""
        return {
            "losses": self.losses,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
        }
