"""The one training loop: ``transformers.Trainer`` on a data order that is fixed beforehand."""

import math
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from workflow_scripts.core.errors import UserError
from workflow_scripts.methods.objectives import Objective
from workflow_scripts.methods.readout import Readout
from workflow_scripts.models.checkpoints import check_positions
from workflow_scripts.models.frozen_features import Features, HeadScorer
from workflow_scripts.models.scorer import PairScorer
from workflow_scripts.runtime import device, ranks
from workflow_scripts.training import telemetry, zero
from workflow_scripts.training.examples import Examples
from workflow_scripts.training.execution import Execution
from workflow_scripts.training.resume import Attempt, KeepState, Progress
from workflow_scripts.training.schedule import Optimisation
from workflow_scripts.training.trainer_arguments import training_arguments


def train(
    model: PreTrainedModel,
    readout: Readout,
    examples: Examples,
    objective: Objective,
    optimisation: Optimisation,
    execution: Execution,
    attempt: Attempt,
    *,
    seed: str,
    metrics: Path | str,
) -> telemetry.Course:
    """Train ``model`` in place, one optimiser step for each row of ``examples.order``.

    Where several ranks train together each takes its share of every batch, and the first one's
    model ends with the trained weights.

    Args:
        model: weights in float32.
        readout: what a sequence's score is.
        examples: the data and their order.
        objective: from scores to losses.
        optimisation: learning rate, schedule and Adam's numbers.
        execution: how it is carried out; the result does not depend on it.
        attempt: what it goes on from, and when it is to stop.
        seed: the run's name, also on the progress bar.
        metrics: file for one JSON line a logging step.

    Raises:
        UserError: if the micro-batch does not divide the batch, a text is longer than the model
            has positions, a loss is not finite, or the training was told to stop.
    """
    check_positions(model, examples.sequences)
    attempt.restore_weights(model)
    if execution.checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    progress = telemetry.ProgressOfTraining(seed)
    lines = telemetry.MetricsLines(metrics, attempt.progress.lines)
    callbacks: list[TrainerCallback] = [KeepState(attempt), progress, lines]
    device.prepare()
    if execution.tensorboard and ranks.is_first():
        folder = Path(metrics).with_name("tensorboard")
        callbacks.append(telemetry.tensorboard(folder, attempt.progress.steps))
    # The Trainer insists on a folder of its own; what is kept is written elsewhere, atomically.
    with tempfile.TemporaryDirectory() as scratch:
        weights = model.num_parameters()
        arguments = training_arguments(scratch, examples, optimisation, execution, weights, seed)
        scorer = _scorer(model, readout, examples)
        trainer = PairTrainer(
            scorer, examples, objective, optimisation, execution, attempt, arguments, callbacks
        )
        try:
            return trainer.run(lines)
        finally:
            progress.close()
            lines.close()
            trainer.accelerator.end_training()


class PairTrainer(Trainer):
    """A Trainer whose loss is a mean over examples, and whose data order is given.

    The order is one long epoch, so that resuming is skipping; a micro-batch is a slice of a batch,
    and so is a rank's share.
    """

    def __init__(
        self,
        scorer: torch.nn.Module,
        examples: Examples,
        objective: Objective,
        optimisation: Optimisation,
        execution: Execution,
        attempt: Attempt,
        arguments: TrainingArguments,
        callbacks: list[TrainerCallback],
    ) -> None:
        """Prepare a training; ``run`` runs it."""
        super().__init__(model=scorer, args=arguments, callbacks=callbacks)
        self.remove_callback(PrinterCallback)
        # What has to be done in the middle of the Trainer's work, when all is in place.
        self.add_callback(_WhenPrepared(self))
        self._examples = examples
        self._objective = objective
        self._optimisation = optimisation
        self._zero = execution.zero
        self._attempt = attempt
        self._tokens = examples.tokens_by_step()
        self._began = time.monotonic() - attempt.progress.seconds
        self._of_step: list[tuple[Tensor, Tensor | None, Tensor, Tensor]] = []
        self._history = list(attempt.progress.history)

    def run(self, lines: telemetry.MetricsLines) -> telemetry.Course:
        """Train to the end.

        Args:
            lines: what writes the metrics, which are kept with the state.

        Raises:
            UserError: as ``train``.
        """
        self._lines = lines
        done, steps = len(self._history), len(self._examples.order)
        counts = cast(
            Tensor, self.accelerator.gather(torch.tensor([done], device=self.args.device))
        )
        if counts.unique().numel() > 1:
            raise UserError(
                f"the ranks go on from different steps, {counts.tolist()}; see that --states is on "
                "a file system that all nodes share"
            )
        self.train()
        if len(self._history) < steps:
            raise self._attempt.stopped(len(self._history), steps)
        if self._zero:
            self._weights().gather()
        return telemetry.Course(
            losses=[numbers[0] for numbers in self._history],
            tokens=int(self._tokens[-1]),
            seconds=time.monotonic() - self._began,
        )

    def get_train_dataloader(self) -> DataLoader:
        """Return the micro-batches that are still to come, in the given order."""
        loader = DataLoader(
            range(len(self._examples.ids)),  # pyright: ignore[reportArgumentType]
            batch_size=self.args.per_device_train_batch_size,
            sampler=self._examples.order[len(self._history) :].ravel().tolist(),
            collate_fn=self._examples.collate,
            pin_memory=self.args.dataloader_pin_memory,
        )
        return self.accelerator.prepare(loader)

    def create_scheduler(
        self, num_training_steps: int, optimizer: Optimizer | None = None
    ) -> LambdaLR:
        """Return the schedule of `Optimisation.rate`, from the next step on."""
        highest, done = self._optimisation.learning_rate, len(self._history)
        self.lr_scheduler = LambdaLR(
            optimizer or cast(Optimizer, self.optimizer),
            lambda step: self._optimisation.rate(done + step, num_training_steps) / highest,
        )
        return self.lr_scheduler

    def restore_moments(self) -> None:
        """Put Adam where the last attempt left it."""
        if self._history:
            self._weights().restore(len(self._history), self._attempt.moments())

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Return the micro-batch's mean loss, and keep what the step's metrics are made of."""
        scores = model(**inputs["texts"])
        per_example, margin = self._objective(
            scores,
            inputs["label"],
            inputs["reference"],
            at_start=not self._history,
        )
        self._of_step.append(
            (
                per_example.detach(),
                None if margin is None else margin.detach(),
                inputs["label"],
                inputs["example"],
            )
        )
        return per_example.mean()

    def training_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Tensor | Any],
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Run a micro-batch; after a step's last one check the losses.

        Without DeepSpeed that is before the step's update, with it after.
        """
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self.accelerator.sync_gradients:
            self._close_step()
        return loss

    def _get_grad_norm(
        self, model: torch.nn.Module, grad_norm: Tensor | float | None = None
    ) -> Tensor | float | None:
        """Return the norm of the gradient at steps that are logged, None at others.

        With clipping off, the Trainer clips every step to infinity to know the norm, which costs
        two passes over all gradients. The first step to come is number ``global_step + 1``.
        """
        if (self.state.global_step + 1) % self.state.logging_steps:
            return None
        if self._zero:
            return super()._get_grad_norm(model, grad_norm)
        gradients = (weight.grad for weight in model.parameters())
        return torch.nn.utils.get_total_norm([each for each in gradients if each is not None])

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add margin, accuracy, tokens and seconds to the logs of a loss.

        The loss is the mean since the last log, and the epoch the share of all steps, also where
        an interruption lies between.
        """
        if "loss" in logs:
            recent = np.mean(self._history[-self.state.logging_steps :], axis=0)
            logs.update(zip(("loss", "margin", "accuracy"), recent.tolist(), strict=False))
            logs["tokens"] = int(self._tokens[self.state.global_step - 1])
            logs["seconds"] = round(time.monotonic() - self._began, 3)
            self.state.epoch = self.state.global_step / self.state.max_steps
        super().log(logs, start_time)

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Write the state: what the Trainer calls where a callback asks for a save."""
        progress = Progress(self._history, self._lines.lines, time.monotonic() - self._began)
        self._attempt.save(progress, self._weights().tensors())

    def _weights(self) -> zero.TrainedWeights:
        return zero.TrainedWeights(cast(PairScorer, self.model).model, self.optimizer, self._zero)

    def _close_step(self) -> None:
        """Reduce the step's micro-batches to a few numbers, with one wait for the accelerator.

        With them the ranks agree on whether to save or stop after this step.
        """
        of_losses, of_margins, of_labels, of_examples = zip(*self._of_step, strict=True)
        self._of_step = []
        per_example = torch.cat(of_losses)
        numbers = [per_example.mean()]
        if of_margins[0] is not None:
            margin, label = torch.cat(of_margins), torch.cat(of_labels)
            numbers += [margin.mean(), _agreement(margin, label).mean()]
        wishes = per_example.new_tensor(self._attempt.wishes(), dtype=torch.float64)
        stacked = torch.cat([torch.stack([number.double() for number in numbers]), wishes])
        *means, stop, save = cast(Tensor, self.accelerator.reduce(stacked, "mean")).tolist()
        if not math.isfinite(means[0]):
            self._stop(per_example, torch.cat(of_examples))
        self._history.append(means)
        self._attempt.agree(stop > 0, save > 0)

    def _stop(self, per_example: Tensor, example: Tensor) -> None:
        per_example, example = cast(
            tuple[Tensor, Tensor], self.accelerator.gather((per_example, example))
        )
        rows = example[~torch.isfinite(per_example)].tolist()
        names = ", ".join(self._examples.ids[row] for row in rows[:4])
        others = f" and {len(rows) - 4} more" if len(rows) > 4 else ""
        raise UserError(
            f"the loss is not finite at step {self.state.global_step + 1}, pairs {names}{others}; "
            "look at these pairs' texts, or lower the learning rate"
        )


def _scorer(model: PreTrainedModel, readout: Readout, examples: Examples) -> torch.nn.Module:
    if isinstance(examples.sequences, Features):
        return HeadScorer(model)
    return PairScorer(model, readout, low_precision=device.has_bfloat16())


class _WhenPrepared(TrainerCallback):
    """Restores Adam once the Trainer, and DeepSpeed where it is used, have made it."""

    def __init__(self, trainer: PairTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._trainer.restore_moments()


def _agreement(margin: Tensor, label: Tensor) -> Tensor:
    """Return 1 where margin and label prefer the same text, 0 where not, half for a tie."""
    return (1 + torch.sign(margin) * torch.where(label > 0.5, 1, -1)) / 2
