"""How the weights are moved: Adam's numbers, and the learning rate of every step."""

import math
from dataclasses import dataclass

from workflow_scripts.config.training import Adam
from workflow_scripts.methods.method import Method


@dataclass(frozen=True)
class Optimisation:
    """How the weights are moved: Adam with a schedule, without weight decay or clipping."""

    learning_rate: float
    schedule: str
    warmup: float
    beta1: float
    beta2: float
    epsilon: float

    @classmethod
    def of(cls, method: Method, adam: Adam) -> "Optimisation":
        """Pick the optimiser's numbers out of a training's settings."""
        return cls(
            learning_rate=method.learning_rate,
            schedule=method.schedule,
            warmup=method.warmup,
            beta1=adam.beta1,
            beta2=adam.beta2,
            epsilon=adam.epsilon,
        )

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of ``step``, counted from 0, in a training of ``steps``.

        The warm-up is linear over the first int(``warmup`` * steps) steps and never 0; what
        follows is constant, or falls as a cosine to 0. As in the authors' code.
        """
        warmup = int(steps * self.warmup)
        if step < warmup:
            return self.learning_rate * (step + 1) / (warmup + 1)
        if self.schedule == "constant":
            return self.learning_rate
        progress = (step - warmup) / (steps - warmup)
        return self.learning_rate * (1 + math.cos(math.pi * progress)) / 2
