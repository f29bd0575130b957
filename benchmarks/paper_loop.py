"""The paper's training loop, re-stated from its description: what the benchmarks compare with.

One pair a micro-batch, each of its texts in a forward of its own, float32, the log-softmax of every
token of the text over the whole vocabulary, and DPO's reference model run anew for every pair of
every epoch. Nothing of this workflow's own training is used.
"""

import math
import time
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Text = tuple[Tensor, int]
"""Token ids, ``[1, tokens]``, and the index of the first token of the response."""


@dataclass
class Pair:
    """A labelled pair of texts.

    Attributes:
        chosen: the truly better text.
        rejected: the other.
        label: the supervisor's probability that ``chosen`` is better.
    """

    chosen: Text
    rejected: Text
    label: float = 1.0


@dataclass
class Course:
    """What happened: each step's loss, and when it ended, by the wall's clock and in CPU time."""

    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)


def train(
    model: Any,
    batches: Iterable[list[Pair]],
    settings: dict[str, Any],
    *,
    alpha: float = 0.0,
    rate: Callable[[int], float] = lambda step: 1.0,
) -> Course:
    """Train ``model`` in place by one Adam step a batch.

    Args:
        model: a language model, or a sequence classifier with one output for rewards.
        batches: pairs of each step.
        settings: ``objective``, ``learning_rate``, ``adam``, and the objective's own numbers.
        alpha: pay for each pair on which the model is against the truth, with this weight.
        rate: factor of the learning rate at a step, counted from 0.
    """
    objective = settings["objective"]
    reference = deepcopy(model).requires_grad_(False) if objective == "dpo" else None
    adam = settings["adam"]
    optimizer = torch.optim.Adam(
        model.parameters(),
        lr=settings["learning_rate"],
        betas=(adam["beta1"], adam["beta2"]),
        eps=adam["epsilon"],
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    course, began, cpu_began = Course(), time.perf_counter(), time.process_time()
    model.train()
    for batch in batches:
        total = 0.0
        for pair in batch:
            loss = _loss(model, reference, pair, settings, alpha) / len(batch)
            loss.backward()
            total += loss.item()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        course.losses.append(total)
        course.seconds.append(time.perf_counter() - began)
        course.cpu_seconds.append(time.process_time() - cpu_began)
    return course


def score(model: Any, text: Text, objective: str) -> Tensor:
    """Return a text's reward, or the sum (dpo) or mean of its response's log-probabilities."""
    tokens, response_start = text
    output = model(tokens)
    if objective == "reward_model":
        return output.logits[0, 0]
    log_probabilities = functional.log_softmax(output.logits[:, :-1].float(), dim=-1)
    of_targets = log_probabilities.gather(2, tokens[:, 1:, None])[0, response_start - 1 :, 0]
    return of_targets.sum() if objective == "dpo" else of_targets.mean()


def margin(model: Any, pair: Pair, objective: str) -> Tensor:
    """Return the score of chosen minus that of rejected."""
    return score(model, pair.chosen, objective) - score(model, pair.rejected, objective)


def _loss(model: Any, reference: Any, pair: Pair, settings: dict[str, Any], alpha: float) -> Tensor:
    objective = settings["objective"]
    if objective == "sft":
        return -score(model, pair.chosen if pair.label > 0.5 else pair.rejected, "sft")
    z = margin(model, pair, objective)
    if reference is not None:
        with torch.no_grad():
            of_reference = margin(reference, pair, objective)
        z = z - of_reference
    loss = _of_margin(z, pair.label, settings)
    if alpha and z.item() < 0:
        loss = loss + alpha * _of_margin(z, 0.0, settings)
    return loss


def _of_margin(z: Tensor, label: float, settings: dict[str, Any]) -> Tensor:
    side = 1.0 if label > 0.5 else -1.0
    match settings["objective"]:
        case "reward_model":
            return functional.binary_cross_entropy_with_logits(z, torch.full_like(z, label))
        case "simpo":
            return -functional.logsigmoid(settings["beta"] * side * z - settings["gamma"])
        case "dpo":
            return -functional.logsigmoid(settings["beta"] * side * z)
        case unknown:
            raise ValueError(f"objective {unknown}")


def schedule(settings: dict[str, Any], steps: int) -> Callable[[int], float]:
    """Return the factor of the learning rate: cosine, or constant after a linear warm-up."""
    warmup = int(steps * settings["warmup"])

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if settings["schedule"] == "constant":
            return 1.0
        return (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2

    return factor
