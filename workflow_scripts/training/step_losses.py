"""What a step's micro-batches give, and the few numbers that are made of it."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class StepLosses:
    """The losses and margins of the step under way, on this rank."""

    def __init__(self, share: float) -> None:
        """Say how many examples a rank's even share of the batch has."""
        self._share = share
        self._kept: list[tuple[Tensor, Tensor | None, Tensor, NDArray[np.int64]]] = []

    def add(
        self,
        per_example: Tensor,
        margin: Tensor | None,
        label: Tensor,
        examples: NDArray[np.int64],
    ) -> Tensor:
        """Keep a micro-batch's losses, and return their part of the mean over the batch.

        A gradient is the mean over ranks of what each of them has added up, so that these parts
        make up the mean over the batch, however it is cut and dealt.
        """
        kept = None if margin is None else margin.detach()
        self._kept.append((per_example.detach(), kept, label, examples))
        return self._part(per_example.mean(), len(per_example))

    def close(self) -> tuple[Tensor, NDArray[np.int64], Tensor]:
        """Return what the step has given, and begin another one.

        Returns:
            the means of loss and, for pairs, margin and accuracy, to be averaged over ranks,
            float64; the examples; and whether the loss of each is a finite number.
        """
        of_losses, of_margins, of_labels, of_examples = zip(*self._kept, strict=True)
        self._kept = []
        per_example = torch.cat(of_losses)
        means = [per_example.mean()]
        if of_margins[0] is not None:
            margin, label = torch.cat(of_margins), torch.cat(of_labels)
            means += [margin.mean(), _agreement(margin, label).mean()]
        together = torch.stack([mean.double() for mean in means])
        means = self._part(together, len(per_example))
        return means, np.concatenate(of_examples), per_example.isfinite()

    def _part(self, mean: Tensor, count: int) -> Tensor:
        return mean / (self._share / count)


def _agreement(margin: Tensor, label: Tensor) -> Tensor:
    """Return 1 where margin and label prefer the same text, 0 where not, half for a tie."""
    return (1 + torch.sign(margin) * torch.where(label > 0.5, 1, -1)) / 2
