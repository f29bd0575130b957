"""The one training loop: ``transformers.Trainer`` on a data order that is fixed beforehand."""

import math
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import torch
from accelerate.utils import send_to_device
from numpy.typing import NDArray
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
from workflow_scripts.core.kernels import Kernel
from workflow_scripts.methods.compat import Compat
from workflow_scripts.methods.objectives import Objective
from workflow_scripts.methods.readout import Readout
from workflow_scripts.models.checkpoints import check_positions
from workflow_scripts.models.frozen_features import Features, HeadScorer
from workflow_scripts.models.scorer import PairScorer, low_precision
from workflow_scripts.runtime import device, ranks
from workflow_scripts.training import telemetry, zero
from workflow_scripts.training.examples import Examples
from workflow_scripts.training.execution import Execution
from workflow_scripts.training.held_out import HeldOut, Watch
from workflow_scripts.training.resume import Attempt, KeepState
from workflow_scripts.training.schedule import Optimisation
from workflow_scripts.training.shares import MicroBatch
from workflow_scripts.training.states import Progress
from workflow_scripts.training.step_losses import StepLosses
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
    compat: Compat,
    held_out: HeldOut | None = None,
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
        execution: how it is carried out; last digits of the result at most depend on it.
        attempt: what it goes on from, and when it is to stop.
        seed: the run's name.
        metrics: file for one JSON line a logging step.
        compat: whether a GPU multiplies in bfloat16.
        held_out: pairs to watch it on, None where there are none.

    Raises:
        UserError: if the micro-batch does not divide the batch, a text is longer than the model
            has positions, a loss is not finite, or the training was told to stop.
    """
    check_positions(model, examples.sequences)
    telemetry.check_services(execution.report_to)
    attempt.restore_weights(model)
    if execution.checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    progress = telemetry.ProgressOfTraining(str(Path(metrics).parent).removeprefix("results/"))
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
        scorer = _scorer(model, readout, examples, compat, execution.attention)
        trainer = PairTrainer(
            scorer, examples, objective, optimisation, execution, attempt, arguments, callbacks
        )
        if held_out is not None:
            check_positions(model, held_out.examples.sequences)
            trainer.add_callback(Watch(held_out, trainer.log))
        try:
            return trainer.run(lines)
        finally:
            progress.close()
            lines.close()
            trainer.accelerator.end_training()


class PairTrainer(Trainer):
    """A Trainer whose loss is a mean over examples, and whose data order is given.

    The order is one long epoch, so that resuming is skipping. What the Trainer takes for a batch is
    this rank's share of a step, as a list of micro-batches (``training/shares.py``).
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
        self._execution = execution
        self._zero = execution.zero
        self._attempt = attempt
        self._tokens = examples.tokens_by_step()
        self._began = time.monotonic() - attempt.progress.seconds
        self._of_step = StepLosses(examples.order.shape[1] / ranks.count())
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
        """Return this rank's shares of the steps that are still to come.

        Accelerate, which would deal the batches to the ranks and copy them, is not asked to.
        """
        scorer = cast(PairScorer | HeadScorer, self.model)
        shares = self._examples.shares(
            self._execution.micro_batch,
            scorer.model.config.hidden_size,
            skips_blocks=isinstance(scorer, PairScorer) and scorer.skips_blocks,
        )
        return DataLoader(
            shares,  # pyright: ignore[reportArgumentType]
            batch_size=None,
            sampler=range(len(self._history), len(shares)),
            collate_fn=self._examples.collate,
            pin_memory=self.args.dataloader_pin_memory,
        )

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
        """Return the micro-batch's part of the batch's mean loss; keep what metrics are made of."""
        per_example, margin = self._losses(model, inputs)
        return self._of_step.add(per_example, margin, inputs["label"], inputs["example"])

    def _losses(
        self, model: torch.nn.Module, inputs: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
        scores = model(**inputs["texts"])
        at_start = not self._history
        return self._objective(scores, inputs["label"], inputs["reference"], at_start=at_start)

    def training_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Tensor | Any],
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Run a step's micro-batches, which the ranks add up after the last, and check the losses.

        Without DeepSpeed that is before the step's update, with it after.
        """
        micro_batches: list[dict[str, Any]] = inputs["micro_batches"]  # pyright: ignore
        losses: list[Tensor] = []
        for number, micro_batch in enumerate(micro_batches, start=1):
            is_last = number == len(micro_batches)
            self.accelerator.gradient_state._set_sync_gradients(is_last)
            # DeepSpeed is told by accelerate which micro-batch is a step's last.
            waiting = nullcontext() if is_last or self._zero else self.accelerator.no_sync(model)
            with waiting:
                losses.append(super().training_step(model, micro_batch, num_items_in_batch))
        self._close_step()
        return torch.stack(losses).sum()

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Copy a micro-batch to the device; from pinned memory, so that nothing waits for it."""
        copied = send_to_device(inputs, self.args.device, non_blocking=True)
        return cast(dict[str, Any], copied)

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
        own, examples, finite = self._of_step.close()
        wishes = own.new_tensor(self._attempt.wishes())
        reduced = self.accelerator.reduce(torch.cat([own, wishes]), "mean")
        *means, stop, save = cast(Tensor, reduced).tolist()
        if not math.isfinite(means[0]):
            self._stop(examples[~finite.cpu().numpy()])
        self._history.append(means)
        self._attempt.agree(stop > 0, save > 0)

    def _stop(self, suspects: NDArray[np.int64]) -> NoReturn:
        """Name the pairs whose loss is not finite, on all ranks."""
        if not self._zero:
            # What is not a number spreads to the pairs packed with it; alone each has its own.
            suspects = suspects[[not self._is_finite_alone(place) for place in suspects]]
        counts = torch.zeros(len(self._examples.ids), device=self.args.device)
        counts[torch.from_numpy(suspects).to(counts.device)] = 1
        rows = cast(Tensor, self.accelerator.reduce(counts, "sum")).nonzero().flatten().tolist()
        names = ", ".join(self._examples.ids[row] for row in rows[:4])
        others = f" and {len(rows) - 4} more" if len(rows) > 4 else ""
        raise UserError(
            f"the loss is not finite at step {self.state.global_step + 1}, pairs {names}{others}; "
            "look at these pairs' texts, or lower the learning rate"
        )

    def _is_finite_alone(self, example: np.int64) -> bool:
        """Return whether an example's loss is a finite number in a forward of its own."""
        share = self._examples.collate([MicroBatch(np.array([example]))])
        (inputs,) = map(self._prepare_inputs, share["micro_batches"])
        with torch.no_grad():
            loss, _ = self._losses(cast(torch.nn.Module, self.model), inputs)
        return bool(loss.isfinite().all())


def _scorer(
    model: PreTrainedModel,
    readout: Readout,
    examples: Examples,
    compat: Compat,
    kernel: Kernel,
) -> torch.nn.Module:
    if isinstance(examples.sequences, Features):
        return HeadScorer(model)
    return PairScorer(model, readout, low_precision=low_precision(compat), kernel=kernel)


class _WhenPrepared(TrainerCallback):
    """Restores Adam once the Trainer, and DeepSpeed where it is used, have made it."""

    def __init__(self, trainer: PairTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._trainer.restore_moments()
