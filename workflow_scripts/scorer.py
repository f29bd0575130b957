"""Read a score for each token sequence out of a language model: a reward or a log-probability."""

from enum import StrEnum
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from workflow_scripts import ranks
from workflow_scripts.training_settings import Compat

_GROUPS = 4
"""Forwards that a micro-batch of uneven lengths is cut into on a CPU."""
_WORTH_CUTTING = 0.2
"""The share of padding from which that is done."""


class Readout(StrEnum):
    """What the score of a sequence is (DESIGN section 1, column ``margin``)."""

    REWARD = "reward"
    REWARD_AT_NONZERO_COUNT = "reward, read at the count of tokens that are not 0"
    MEAN_LOG_PROBABILITY = "mean log-probability"
    SUMMED_LOG_PROBABILITY = "summed log-probability"

    @property
    def is_reward(self) -> bool:
        """Whether the score comes from a head of its own."""
        return self in (Readout.REWARD, Readout.REWARD_AT_NONZERO_COUNT)


READOUTS = {
    "reward_model": Readout.REWARD,
    "sft": Readout.MEAN_LOG_PROBABILITY,
    "simpo": Readout.MEAN_LOG_PROBABILITY,
    "dpo": Readout.SUMMED_LOG_PROBABILITY,
}


def readout_of(objective: str, compat: Compat) -> Readout:
    """Return what ``objective`` reads out of a sequence."""
    if objective == "reward_model" and compat.reward_pooling == "reference":
        return Readout.REWARD_AT_NONZERO_COUNT
    return READOUTS[objective]


class PairScorer(nn.Module):
    """A language model that gives each sequence of a right-padded batch one number.

    The chosen and the rejected texts of a micro-batch go through it stacked, all together or, on a
    CPU, in groups of similar length.
    """

    def __init__(
        self, model: PreTrainedModel, readout: Readout, *, low_precision: bool = False
    ) -> None:
        """Wrap ``model``, which has a ``score`` head for rewards and a language-model head else.

        With ``low_precision`` its matrix products run in bfloat16, whatever its weights are.
        """
        super().__init__()
        self.model = model
        self.readout = readout
        self.low_precision = low_precision

    def forward(self, input_ids: Tensor, attention_mask: Tensor, response_mask: Tensor) -> Tensor:
        """Return the scores, ``[sequences]``.

        All arguments are ``[sequences, tokens]``, as ``TokenSequences.padded`` makes them. Rewards
        are float32. Log-probabilities are of the tokens in ``response_mask``, computed in float32
        and added up in float64, since a sum of hundreds loses the digits that a margin is made of.
        """
        groups = _by_length(attention_mask)
        batch = (input_ids, attention_mask, response_mask)
        # In low precision each weight is used once; cached casts would only outlive their use.
        with torch.autocast(
            input_ids.device.type, torch.bfloat16, enabled=self.low_precision, cache_enabled=False
        ):
            if len(groups) == 1:
                return self._scores(*batch)
            longest = [int(attention_mask[rows].sum(1).max()) for rows in groups]
            scores = [
                self._scores(*(tensor[rows, :tokens] for tensor in batch))
                for rows, tokens in zip(groups, longest, strict=True)
            ]
        return torch.cat(scores)[torch.cat(groups).argsort()]

    def _scores(self, input_ids: Tensor, attention_mask: Tensor, response_mask: Tensor) -> Tensor:
        backbone = self.model.base_model
        hidden = backbone(
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False
        ).last_hidden_state
        if self.readout.is_reward:
            return self._reward(hidden, self._pooled(input_ids, attention_mask))
        log_probabilities = self._response_log_probabilities(hidden, input_ids, response_mask)
        if self.readout is Readout.SUMMED_LOG_PROBABILITY:
            return log_probabilities.sum(1)
        return log_probabilities.sum(1) / response_mask.sum(1)

    def _pooled(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the position that the reward is read at, ``[sequences]``."""
        if self.readout is Readout.REWARD_AT_NONZERO_COUNT:
            # A text of nothing but token 0 has no such position; its first token serves.
            return ((input_ids != 0) * attention_mask).sum(1).clamp(min=1) - 1
        return attention_mask.sum(1) - 1

    def _reward(self, hidden: Tensor, position: Tensor) -> Tensor:
        """Apply the head, at full precision, at one ``position`` a sequence; ``[sequences]``."""
        head = cast(nn.Linear, self.model.score)
        rows = torch.arange(len(position), device=position.device)
        with torch.autocast(hidden.device.type, enabled=False):
            return head(hidden[rows, position].to(head.weight.dtype)).float().squeeze(1)

    def _response_log_probabilities(
        self, hidden: Tensor, input_ids: Tensor, response_mask: Tensor
    ) -> Tensor:
        """Return each response token's log-probability, 0 elsewhere; ``[sequences, tokens - 1]``.

        The vocabulary is many times wider than the hidden states, so only those positions that
        predict a response token go through the language-model head.
        """
        predicted = response_mask[:, 1:]
        head = cast(nn.Module, self.model.get_output_embeddings())
        logits = head(hidden[:, :-1][predicted])
        targets = input_ids[:, 1:][predicted]
        of_targets = -functional.cross_entropy(logits.float(), targets, reduction="none")
        grid = of_targets.new_zeros(predicted.shape, dtype=torch.float64)
        return grid.masked_scatter(predicted, of_targets.double())


def _by_length(attention_mask: Tensor) -> list[Tensor]:
    """Return the rows of a batch as groups of similar length, each to be padded on its own.

    On a CPU padding costs as much as text. A GPU would rather have one large product, and several
    ranks must run the model equally often, for ZeRO-3 gathers its weights every time.
    """
    if attention_mask.device.type == "cpu" and ranks.count() == 1:
        lengths = attention_mask.sum(1)
        if lengths.sum() < (1 - _WORTH_CUTTING) * attention_mask.numel():
            return list(lengths.argsort(stable=True).chunk(_GROUPS))
    return [torch.arange(len(attention_mask))]
