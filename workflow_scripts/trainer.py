"""The one training loop: ``transformers.Trainer`` on a data order that is fixed beforehand."""

import math
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
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
    TrainingArguments,
)

from workflow_scripts import losses, ranks, seeds, telemetry
from workflow_scripts.checkpoints import check_positions
from workflow_scripts.conflicts import Conflict, PairLoss
from workflow_scripts.errors import UserError
from workflow_scripts.linear_probe import Features, HeadScorer
from workflow_scripts.scorer import PairScorer, Readout
from workflow_scripts.tokenise import TokenSequences


@dataclass(frozen=True)
class Examples:
    """What is trained on, and in which order.

    Attributes:
        ids: names of the examples, for messages.
        sequences: the sequences of example i are ``i``, and ``len(ids) + i`` where an example is a
            pair.
        labels: the probability that the first of a pair is better, ``[examples]``.
        references: the reference model's margins, 0 where there is none, ``[examples]``.
        order: the examples of each step's batch, ``[steps, batch]``.
    """

    ids: list[str]
    sequences: TokenSequences | Features
    labels: NDArray[np.float64]
    references: NDArray[np.float64]
    order: NDArray[np.int64]

    def collate(self, examples: Sequence[int]) -> dict[str, Tensor | dict[str, Tensor]]:
        """Return a micro-batch: sequences stacked as all first ones, then all second ones."""
        indices = np.asarray(examples, dtype=np.int64)
        members = np.arange(0, len(self.sequences), len(self.ids))
        return {
            "texts": self.sequences.padded((members[:, None] + indices).ravel()),
            "label": torch.from_numpy(self.labels[indices]),
            "reference": torch.from_numpy(self.references[indices]),
            "example": torch.from_numpy(indices),
        }

    def tokens_by_step(self) -> NDArray[np.int64]:
        """Return how many real tokens have been processed after each step, ``[steps]``."""
        of_examples = self.sequences.lengths.reshape(-1, len(self.ids)).sum(0)
        return np.cumsum(of_examples[self.order].sum(1))


class Objective(Protocol):
    """From scores to losses."""

    def __call__(
        self, scores: Tensor, label: Tensor, reference: Tensor, *, at_start: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return each example's loss and, for pairs, margin: ``[examples]`` both.

        ``scores`` is ``[sequences]``; ``label`` and ``reference`` are ``[examples]``; ``at_start``
        says that no weight has been moved yet.
        """
        ...


@dataclass(frozen=True)
class Likelihood:
    """The negative log-likelihood of single sequences: SFT and pretraining."""

    def __call__(
        self, scores: Tensor, label: Tensor, reference: Tensor, *, at_start: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return the losses; there is no margin."""
        return losses.sft(scores), None


@dataclass(frozen=True)
class Preference:
    """A loss of the margin between a pair's two sequences, under a conflict.

    Attributes:
        pair_loss: from margins and labels to losses.
        conflict: how a competing goal enters the loss.
        starts_as_reference: whether the model is, before the first update, the reference model.
        trigger_without_reference: whether the conflict judges by the policy's margin alone.
    """

    pair_loss: PairLoss
    conflict: Conflict
    starts_as_reference: bool = False
    trigger_without_reference: bool = False

    def __call__(
        self, scores: Tensor, label: Tensor, reference: Tensor, *, at_start: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return the losses and the margins, the latter relative to the reference model's."""
        chosen, rejected = scores.chunk(2)
        of_policy = chosen - rejected
        margin = of_policy - reference.to(scores.dtype)
        trigger = margin
        if self.trigger_without_reference:
            trigger = of_policy
        elif at_start and self.starts_as_reference:
            # The margin is 0, and its sign that of rounding: the reference was scored in batches
            # of other shapes.
            trigger = torch.zeros_like(margin)
        return self.conflict.loss(margin, label, self.pair_loss, trigger=trigger), margin


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
    def of(cls, settings: Mapping[str, Any]) -> "Optimisation":
        """Pick the optimiser's numbers out of a training's settings."""
        adam = settings["adam"]
        return cls(
            learning_rate=settings["learning_rate"],
            schedule=settings["schedule"],
            warmup=settings["warmup"],
            beta1=adam["beta1"],
            beta2=adam["beta2"],
            epsilon=adam["epsilon"],
        )

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of ``step``, counted from 0, in a training of ``steps``.

        The warm-up is linear over the first int(``warmup`` * steps) steps and never 0; what
        follows is constant, or falls as a cosine to 0. As in the reference.
        """
        warmup = int(steps * self.warmup)
        if step < warmup:
            return self.learning_rate * (step + 1) / (warmup + 1)
        if self.schedule == "constant":
            return self.learning_rate
        progress = (step - warmup) / (steps - warmup)
        return self.learning_rate * (1 + math.cos(math.pi * progress)) / 2


def train(
    model: PreTrainedModel,
    readout: Readout,
    examples: Examples,
    objective: Objective,
    optimisation: Optimisation,
    *,
    micro_batch: int,
    seed: str,
    metrics: Path | str,
    tensorboard: bool = False,
) -> telemetry.Course:
    """Train ``model`` in place, one optimiser step for each row of ``examples.order``.

    Where several ranks train together each takes its share of every batch, and all end with the
    same weights.

    Args:
        model: weights in float32.
        readout: what a sequence's score is.
        examples: the data and their order.
        objective: from scores to losses.
        optimisation: learning rate, schedule and Adam's numbers.
        micro_batch: examples in one forward of one rank; the result does not depend on it.
        seed: the run's name, also on the progress bar.
        metrics: file for one JSON line a logging step.
        tensorboard: whether to log the same numbers to tensorboard/ beside ``metrics``.

    Raises:
        UserError: if ``micro_batch`` does not divide the batch, a text is longer than the model
            has positions, or a loss is not finite.
    """
    check_positions(model, examples.sequences)
    progress, lines = telemetry.ProgressOfTraining(seed), telemetry.MetricsLines(metrics)
    callbacks: list[TrainerCallback] = [progress, lines]
    if not torch.cuda.is_available():
        # The Trainer imports DeepSpeed, which else warns of every machine without a GPU.
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    if tensorboard and ranks.is_first():
        callbacks.append(_tensorboard(Path(metrics).with_name("tensorboard")))
    # The Trainer insists on a folder of its own; what is kept is written elsewhere, atomically.
    with tempfile.TemporaryDirectory() as scratch:
        arguments = _arguments(scratch, examples.order, optimisation, micro_batch, seed)
        trainer = PairTrainer(
            _scorer(model, readout, examples),
            examples,
            objective,
            optimisation,
            arguments,
            callbacks,
        )
        try:
            trainer.train()
        finally:
            progress.close()
            lines.close()
            trainer.accelerator.end_training()
    return trainer.course()


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
        arguments: TrainingArguments,
        callbacks: list[TrainerCallback],
    ) -> None:
        """Prepare a training; ``train`` runs it."""
        super().__init__(model=scorer, args=arguments, callbacks=callbacks)
        self.remove_callback(PrinterCallback)
        self._examples = examples
        self._objective = objective
        self._optimisation = optimisation
        self._tokens = examples.tokens_by_step()
        self._began = time.monotonic()
        self._of_step: list[tuple[Tensor, Tensor | None, Tensor, Tensor]] = []
        self._history: list[list[float]] = []

    def get_train_dataloader(self) -> DataLoader:
        """Return micro-batches in the given order."""
        loader = DataLoader(
            range(len(self._examples.ids)),  # pyright: ignore[reportArgumentType]
            batch_size=self.args.per_device_train_batch_size,
            sampler=self._examples.order.ravel().tolist(),
            collate_fn=self._examples.collate,
            pin_memory=self.args.dataloader_pin_memory,
        )
        return self.accelerator.prepare(loader)

    def create_scheduler(
        self, num_training_steps: int, optimizer: Optimizer | None = None
    ) -> LambdaLR:
        """Return the schedule of `Optimisation.rate`."""
        highest = self._optimisation.learning_rate
        self.lr_scheduler = LambdaLR(
            optimizer or cast(Optimizer, self.optimizer),
            lambda step: self._optimisation.rate(step, num_training_steps) / highest,
        )
        return self.lr_scheduler

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
            at_start=self.state.global_step == 0,
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
        """Run a micro-batch; after a step's last one, and before its update, check the losses."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self.accelerator.sync_gradients:
            self._close_step()
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add margin, accuracy, tokens and seconds to the logs of a loss."""
        if "loss" in logs:
            recent = np.mean(self._history[-self.state.logging_steps :], axis=0)
            logs.update(zip(("margin", "accuracy"), recent[1:].tolist(), strict=False))
            logs["tokens"] = int(self._tokens[self.state.global_step - 1])
            logs["seconds"] = round(time.monotonic() - self._began, 3)
        super().log(logs, start_time)

    def course(self) -> telemetry.Course:
        """Return what happened."""
        return telemetry.Course(
            losses=[numbers[0] for numbers in self._history],
            tokens=int(self._tokens[-1]),
            seconds=time.monotonic() - self._began,
        )

    def _close_step(self) -> None:
        """Reduce the step's micro-batches to a few numbers, with one wait for the accelerator."""
        of_losses, of_margins, of_labels, of_examples = zip(*self._of_step, strict=True)
        self._of_step = []
        per_example = torch.cat(of_losses)
        numbers = [per_example.mean()]
        if of_margins[0] is not None:
            margin, label = torch.cat(of_margins), torch.cat(of_labels)
            numbers += [margin.mean(), _agreement(margin, label).mean()]
        stacked = torch.stack([number.double() for number in numbers])
        means = cast(Tensor, self.accelerator.reduce(stacked, "mean")).tolist()
        if not math.isfinite(means[0]):
            self._stop(per_example, torch.cat(of_examples))
        self._history.append(means)

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
    return PairScorer(model, readout)


def _agreement(margin: Tensor, label: Tensor) -> Tensor:
    """Return 1 where margin and label prefer the same text, 0 where not, half for a tie."""
    return (1 + torch.sign(margin) * torch.where(label > 0.5, 1, -1)) / 2


def _arguments(
    scratch: str,
    order: NDArray[np.int64],
    optimisation: Optimisation,
    micro_batch: int,
    seed: str,
) -> TrainingArguments:
    steps, batch_size = order.shape
    at_once = micro_batch * ranks.count()
    if batch_size % at_once:
        each = f" on each of {ranks.count()} ranks" if ranks.count() > 1 else ""
        raise UserError(
            f"micro-batch {micro_batch}{each} does not divide the batch of {batch_size} pairs"
        )
    on_gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=scratch,
        seed=seeds.seed(seed),
        num_train_epochs=1,
        per_device_train_batch_size=micro_batch,
        gradient_accumulation_steps=batch_size // at_once,
        learning_rate=optimisation.learning_rate,
        optim="adamw_torch_fused",
        adam_beta1=optimisation.beta1,
        adam_beta2=optimisation.beta2,
        adam_epsilon=optimisation.epsilon,
        weight_decay=0.0,
        max_grad_norm=0.0,
        use_cpu=not on_gpu,
        bf16=on_gpu and torch.cuda.is_bf16_supported(),
        dataloader_pin_memory=on_gpu,
        logging_steps=math.ceil(steps / 100),
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
    )


def _tensorboard(folder: Path) -> TrainerCallback:
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations.integration_utils import TensorBoardCallback

    return TensorBoardCallback(SummaryWriter(folder))
