"""Loss and accuracy on pairs that are not trained on, every so many steps: to watch, no result."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import nn
from transformers import (
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from workflow_scripts.config.stage_settings import TrainSettings
from workflow_scripts.data.pairs import read_pairs, reference_margins
from workflow_scripts.methods.conflicts.none import NoConflict
from workflow_scripts.methods.objectives import Objective
from workflow_scripts.training.examples import Examples, tokenised
from workflow_scripts.training.execution import Execution
from workflow_scripts.training.shares import MicroBatch

CHANGES_NO_RESULT = "watches a training; tests hold the result to be the same bytes"


@dataclass(frozen=True)
class HeldOut:
    """Pairs that a training is watched on.

    Attributes:
        examples: the pairs with their true labels; their order is empty.
        objective: the training's loss, without conflict or student.
        every: steps between two evaluations.
        micro_batch: pairs in one forward.
    """

    examples: Examples
    objective: Objective
    every: int
    micro_batch: int

    def means(self, scorer: nn.Module, device: torch.device) -> dict[str, float]:
        """Return the mean loss and, for pairs, margin and accuracy, by the names of their logs."""
        cuts = range(0, len(self.examples.ids), self.micro_batch)
        rows = np.arange(len(self.examples.ids))
        losses, margins = [], []
        for cut in cuts:
            share = self.examples.collate([MicroBatch(rows[cut : cut + self.micro_batch])])
            inputs = cast(dict[str, Any], send_to_device(share["micro_batches"][0], device))
            loss, margin = self.objective(
                scorer(**inputs["texts"]), inputs["label"], inputs["reference"]
            )
            losses.append(loss)
            margins += [] if margin is None else [margin]
        found = {"eval_loss": torch.cat(losses).double().mean()}
        if margins:
            z = torch.cat(margins).double()
            found |= {"eval_margin": z.mean(), "eval_accuracy": ((1 + z.sign()) / 2).mean()}
        return {name: float(value) for name, value in found.items()}


class Watch(TrainerCallback):
    """Evaluates and logs: to the metrics, and wherever the training reports to."""

    def __init__(self, held_out: HeldOut, log: Callable[[dict[str, float]], object]) -> None:
        """Name the pairs, and what takes the numbers."""
        self._held_out = held_out
        self._log = log

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Evaluate after every so many steps, and after the last, on every rank."""
        if state.global_step % self._held_out.every and state.global_step < state.max_steps:
            return
        scorer: nn.Module = others["model"]
        scorer.eval()
        with torch.no_grad():
            found = self._held_out.means(scorer, args.device)
        scorer.train()
        # The Trainer takes any log for that of the step.
        should_log = control.should_log
        self._log(found)
        control.should_log = should_log


def held_out(
    execution: Execution,
    settings: TrainSettings,
    tokenizer: PreTrainedTokenizerBase,
    *,
    reference: str | None,
    together: bool,
) -> HeldOut | None:
    """Return the pairs that a training is to be watched on, None where it is not.

    A linear probe is not: it takes seconds, and has no features of them.

    Raises:
        UserError: if their file cannot be read, or the reference's has none of them.
    """
    asked, method = execution.evaluation, settings.method
    if asked is None or method.trains_head_alone:
        return None
    pairs = read_pairs(asked.pairs)
    pairs = pairs.at(np.arange(min(asked.count, len(pairs))))
    references = np.zeros(len(pairs))
    if method.has_reference and reference is not None:
        references = reference_margins(reference, pairs.ids)
    examples = Examples(
        ids=pairs.ids,
        sequences=tokenised(settings, tokenizer, pairs),
        labels=pairs.labels,
        references=references,
        order=np.empty((0, 0), np.int64),
        room=2 * settings.max_length,
        together=together,
    )
    objective = method.objective(NoConflict(), None, settings.compat)
    return HeldOut(examples, objective, asked.every, execution.micro_batch)
