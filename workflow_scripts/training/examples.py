"""What a training reads: sequences, labels, and the order in which they come."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from workflow_scripts.config.stage_settings import TrainSettings
from workflow_scripts.core.errors import UserError
from workflow_scripts.data.pairs import Pairs, reference_margins
from workflow_scripts.models.frozen_features import Features, read_features
from workflow_scripts.models.rows import packing
from workflow_scripts.models.tokenise import TokenSequences, members, one_a_row, tokenise
from workflow_scripts.runtime import device, ranks
from workflow_scripts.training.data_order import ordered
from workflow_scripts.training.shares import MicroBatch, Packing, Shares


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
        room: tokens that an example may have.
        together: whether the sequences of an example are one row, with their prompt once.
    """

    ids: list[str]
    sequences: TokenSequences | Features
    labels: NDArray[np.float64]
    references: NDArray[np.float64]
    order: NDArray[np.int64]
    room: int
    together: bool = True

    def collate(self, share: Sequence[MicroBatch]) -> dict[str, list[dict[str, Any]]]:
        """Return a rank's share of a step: its micro-batches, as the trainer takes them."""
        return {"micro_batches": [self._collated(micro_batch) for micro_batch in share]}

    def _collated(self, micro_batch: MicroBatch) -> dict[str, Any]:
        """Return a micro-batch, its sequences as the scorer takes them.

        The examples' numbers stay an array: they name pairs in messages, and no GPU needs them.
        """
        indices = micro_batch.examples
        rows = self._members[indices]
        texts = self.sequences.padded(rows if self.together else one_a_row(rows))
        if micro_batch.rows is not None:
            texts |= packing(self.row_lengths[indices], micro_batch.rows)
        return {
            "texts": texts,
            "label": torch.from_numpy(self.labels[indices]),
            "reference": torch.from_numpy(self.references[indices]),
            "example": indices,
        }

    def shares(self, micro_batch: int, width: int, *, skips_blocks: bool = False) -> Shares:
        """Return this rank's shares of all steps, packed where that saves time.

        Args:
            micro_batch: examples in one forward; where they are packed, of the greatest length.
            width: of the model.
            skips_blocks: whether its attention skips what is between the pairs of a row.
        """
        packing = None
        if device.packs_rows() and self.together and isinstance(self.sequences, TokenSequences):
            packing = Packing(micro_batch * self.room, width, skips_blocks)
        of_rank = (ranks.count(), ranks.number())
        return Shares(self.order, self.row_lengths, micro_batch, *of_rank, packing)

    @cached_property
    def row_lengths(self) -> NDArray[np.int64]:
        """How many tokens each example's row has, ``[examples]``."""
        return self.sequences.row_lengths(self._members)

    @cached_property
    def _members(self) -> NDArray[np.int64]:
        return members(len(self.sequences), len(self.ids))

    def tokens_by_step(self) -> NDArray[np.int64]:
        """Return how many real tokens have been processed after each step, ``[steps]``."""
        of_examples = self.sequences.lengths[self._members].sum(1)
        return np.cumsum(of_examples[self.order].sum(1))


def tokenised(
    settings: TrainSettings, tokenizer: PreTrainedTokenizerBase, pairs: Pairs
) -> TokenSequences:
    """Return the texts of pairs that a training with these settings scores.

    Raises:
        UserError: if a text does not fit.
    """
    return tokenise(
        tokenizer,
        pairs.ids,
        pairs.prompts,
        settings.method.texts(pairs),
        settings.max_length,
        bos_in_response=settings.compat.bos_in_response == "reference",
    )


def examples_of(
    settings: TrainSettings,
    pairs: Pairs,
    per_epoch: int,
    tokenizer: PreTrainedTokenizerBase,
    *,
    reference: str | None,
    features: Sequence[str],
    together: bool,
    shared_out: bool,
) -> Examples:
    """Return what a training on pairs reads.

    Args:
        settings: of the training.
        pairs: labelled.
        per_epoch: how many of them an epoch shows.
        tokenizer: of the model.
        reference: file of the reference model's log-probabilities, None where there is none.
        features: files of the pairs' features, for a linear probe.
        together: whether the sequences of a pair are one row.
        shared_out: whether several ranks, or ZeRO, share the training.

    Raises:
        UserError: if a file that the settings need is missing or broken, or a text does not fit.
    """
    method = settings.method
    references = np.zeros(len(pairs))
    if method.has_reference:
        if reference is None:
            raise UserError(
                f"objective {settings.objective}: needs the frozen model's log-probabilities; "
                "give --reference"
            )
        references = reference_margins(reference, pairs.ids)
    if method.trains_head_alone:
        if not features:
            raise UserError("linear_probe: needs the backbone's features; give --features")
        if shared_out:
            raise UserError(
                "linear_probe: a head is trained on one rank; leave out ranks and --zero"
            )
        sequences = read_features(features, pairs.ids)
    else:
        sequences = tokenised(settings, tokenizer, pairs)
    order = ordered(
        settings.data_order,
        sequences.row_lengths(members(len(sequences), len(pairs))),
        batch_size=settings.batch_size,
        epochs=method.epochs,
        seed=settings.seed,
        per_epoch=per_epoch,
    )
    room = 2 * settings.max_length
    return Examples(pairs.ids, sequences, pairs.labels, references, order, room, together)
