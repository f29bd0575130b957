"""What a training reads: sequences, labels, and the order in which they come."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workflow_scripts.models.frozen_features import Features
from workflow_scripts.models.tokenise import TokenSequences, members, one_a_row


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
        together: whether the sequences of an example are one row, with their prompt once.
    """

    ids: list[str]
    sequences: TokenSequences | Features
    labels: NDArray[np.float64]
    references: NDArray[np.float64]
    order: NDArray[np.int64]
    together: bool = True

    def collate(self, examples: Sequence[int]) -> dict[str, Tensor | dict[str, Tensor]]:
        """Return a micro-batch, its sequences as the scorer takes them."""
        indices = np.asarray(examples, dtype=np.int64)
        rows = self._members[indices]
        return {
            "texts": self.sequences.padded(rows if self.together else one_a_row(rows)),
            "label": torch.from_numpy(self.labels[indices]),
            "reference": torch.from_numpy(self.references[indices]),
            "example": torch.from_numpy(indices),
        }

    @cached_property
    def _members(self) -> NDArray[np.int64]:
        return members(len(self.sequences), len(self.ids))

    def tokens_by_step(self) -> NDArray[np.int64]:
        """Return how many real tokens have been processed after each step, ``[steps]``."""
        of_examples = self.sequences.lengths[self._members].sum(1)
        return np.cumsum(of_examples[self.order].sum(1))
