"""The losses of the paper (docs/method.md), as pure functions of margins.

Each takes and returns one value per pair, so the mean over a batch does not depend on how it is
cut into micro-batches. Arithmetic is in float32, or in float64 where the
input is; margins of any size (tested to |z| = 1e4) give finite losses and gradients.

Shapes: a margin ``z`` is chosen minus rejected, ``[pairs]``; a label is the probability that the
chosen text is the preferred one, ``[pairs]``, in [0, 1].
"""

import torch
from torch import Tensor
from torch.nn import functional


def reward_model(margin: Tensor, label: Tensor) -> Tensor:
    """Return the cross-entropy of sigmoid(z) against a soft label, ``[pairs]``.

    Source: Bradley and Terry (1952), the likelihood of a preference between two rewards, here with
    a soft label.
    """
    margin = _at_least_float32(margin)
    return functional.binary_cross_entropy_with_logits(
        margin, label.to(margin.dtype), reduction="none"
    )


def simpo(margin: Tensor, label: Tensor, *, beta: float, gamma: float) -> Tensor:
    """Return -log sigmoid(beta s z - gamma), ``[pairs]``, s = ±1 the side of the label.

    Source: Meng et al., SimPO (NeurIPS 2024), equation 6; gamma is the target margin. ``margin``
    is of mean log-probabilities per response token.
    """
    margin = _at_least_float32(margin)
    return -functional.logsigmoid(beta * _side(label, margin) * margin - gamma)


def dpo(margin: Tensor, label: Tensor, *, beta: float) -> Tensor:
    """Return -log sigmoid(beta s z), ``[pairs]``, with s = ±1 the side of the label.

    Source: Rafailov et al., DPO (NeurIPS 2023), equation 7. ``margin`` is of summed response
    log-probabilities, policy minus reference model; it is 0, and the loss ln 2, at the start.
    """
    margin = _at_least_float32(margin)
    return -functional.logsigmoid(beta * _side(label, margin) * margin)


def sft(mean_log_probability: Tensor) -> Tensor:
    """Return the negative log-likelihood per response token, ``[sequences]``.

    Source: supervised fine-tuning on the preferred responses before SimPO and DPO, as in the paper
    (Yang et al., ICLR 2025). ``mean_log_probability`` is ``[sequences]``.
    """
    return -_at_least_float32(mean_log_probability)


def explicit_conflict(margin: Tensor, reversed_loss: Tensor, *, alpha: float) -> Tensor:
    """Return alpha times ``reversed_loss`` where the margin is against the true label, else 0.

    The true choice is always the chosen text, so "against" is z < 0; what triggers the term is not
    differentiated. Both arguments and the result are ``[pairs]``: the mean is over all pairs, not
    over those that triggered (docs/method.md, ``explicit``).
    """
    return alpha * torch.where(margin.detach() < 0, reversed_loss, torch.zeros_like(reversed_loss))


def _side(label: Tensor, margin: Tensor) -> Tensor:
    return torch.where(label > 0.5, 1.0, -1.0).to(margin.dtype)


def _at_least_float32(value: Tensor) -> Tensor:
    return value if value.dtype == torch.float64 else value.float()
