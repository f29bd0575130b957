"""Read a score for each token sequence out of a language model: a reward or a log-probability."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask
from transformers import PreTrainedModel

from workflow_scripts.core.kernels import Kernel
from workflow_scripts.methods.compat import Compat
from workflow_scripts.methods.readout import Readout
from workflow_scripts.models import adapters, attention, last_block
from workflow_scripts.models.rows import Rows
from workflow_scripts.runtime import device

_GROUPS = 4
"""Forwards that a micro-batch of uneven lengths is cut into on a CPU."""
_WORTH_CUTTING = 0.2
"""The share of padding from which that is done."""
OWN_FORWARD = "scored_by_own_forward"
"""The key of a model's config.json that is true where its own forward gives its log-probabilities.

It is set when the model is taken in (``own_forward``), and its checkpoints keep it.
"""


class PairScorer(nn.Module):
    """A language model that gives each sequence of a batch one number.

    The chosen and the rejected text of a pair are one row with their prompt, which goes through the
    model once: both attend to it, and not to each other. The rows of a micro-batch go through
    together, packed or not. On a CPU they do so without padding or, where the model's attention is
    its own, in groups of similar length.

    Attributes:
        skips_blocks: whether attention skips blocks of tokens that do not see each other.
        keeps_apart: whether attention has each row by itself.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        readout: Readout,
        *,
        low_precision: bool = False,
        kernel: Kernel = "dense",
    ) -> None:
        """Wrap ``model``, which has a ``score`` head for rewards and a language-model head else.

        With ``low_precision`` its matrix products run in bfloat16, whatever its weights are. With
        the kernel ``flex`` attention skips blocks, where that is possible.
        """
        super().__init__()
        if low_precision:
            adapters.shrink(model)
        self.model = model
        self.readout = readout
        self.low_precision = low_precision
        self.skips_blocks = kernel == "flex" and attention.can_skip_blocks(model)
        self.keeps_apart = (
            model.device.type == "cpu"
            and device.keeps_rows_apart()
            and not (self.skips_blocks or scores_by_itself(model))
            and attention.takes_our_masks(model)
        )
        if self.skips_blocks or self.keeps_apart:
            attention.prepare(model)
        self._ends_where_read = not scores_by_itself(model) and last_block.prepare(model)

    def forward(self, **tensors: Tensor) -> Tensor:
        """Return the scores, ``[members * rows]``: of every row's first sequence, then the others.

        The arguments are those of ``Rows``. Rewards are float32. Log-probabilities are computed in
        float32 and added up in float64, since a sum of hundreds loses the digits that a margin is
        made of.
        """
        batch = Rows(**tensors)
        # In low precision each weight is used once; cached casts would only outlive their use.
        with torch.autocast(
            batch.input_ids.device.type,
            torch.bfloat16,
            enabled=self.low_precision,
            cache_enabled=False,
        ):
            if self._is_apart(batch) or len(groups := _by_length(batch)) == 1:
                scores = self._scores(batch)
            else:
                of_groups = torch.cat([self._scores(batch.at(places)) for places in groups])
                scores = of_groups[torch.cat(groups).argsort()]
        return scores.transpose(0, 1).flatten(0, 1)

    def _is_apart(self, rows: Rows) -> bool:
        """Return whether attention has each row of a batch by itself, as far as it sees."""
        if not self.keeps_apart or rows.packed is not None:
            return False
        return rows.last.shape[1] > 1 or _sees_all(self.model, int(rows.lengths.max()))

    def _scores(self, rows: Rows) -> Tensor:
        """Return ``[rows, members]``."""
        members = range(rows.last.shape[1])
        if self.readout.is_reward:
            first = torch.arange(len(rows.part), device=rows.part.device) * rows.part.shape[1]
            return self._reward(self._hidden(rows, first[:, None] + self._pooled(rows)))
        of_tokens = self._log_probabilities(rows)
        responses = [(rows.part == member + 1) & rows.response_mask for member in members]
        sums = torch.stack([of_tokens.where(mask, 0).sum(1) for mask in responses], 1)
        if self.readout is Readout.SUMMED_LOG_PROBABILITY:
            return sums
        tokens = torch.stack([mask.sum(1) for mask in responses], 1)
        if self.readout is Readout.MEAN_OVER_ALL_TOKENS and rows.unscored is not None:
            tokens = tokens + rows.unscored
        return sums / tokens

    def _hidden(self, rows: Rows, read: Tensor) -> Tensor:
        """Return the backbone's outputs, ``[*read.shape, width]``.

        Args:
            rows: what it is given.
            read: places of the flattened ``rows`` that the outputs are read at.
        """
        if self._is_apart(rows):
            return self._hidden_apart(rows, read)
        input_ids, position_ids, part, row = rows.input_ids, rows.position_ids, rows.part, None
        if rows.packed is not None and rows.unpacked is not None:
            read, real = rows.unpacked.flatten()[read], rows.packed >= 0
            row = torch.where(real, rows.packed // part.shape[1], -1)
            taken = rows.packed.clamp(min=0)
            input_ids, position_ids, part = (
                torch.where(real, tensor.flatten()[taken], padding)
                for tensor, padding in ((input_ids, 0), (position_ids, 0), (part, -1))
            )
        seen: dict[str, Tensor | BlockMask] = {}
        # What follows the only sequence of a row is not seen without a mask.
        if row is not None or rows.last.shape[1] > 1:
            mask = self._mask(part, row, rows.last.shape[1])
            seen = {"position_ids": position_ids, "attention_mask": mask}
        return self._backbone(input_ids, read, **seen)

    def _hidden_apart(self, rows: Rows, read: Tensor) -> Tensor:
        """Return the same of a batch whose tokens are one long row, without padding."""
        real = rows.part >= 0
        # What is told of padding, which nobody asks for, is the place of the token before it.
        places = real.flatten().cumsum(0).sub(1)
        return self._backbone(
            rows.input_ids[real][None],
            places[read],
            position_ids=rows.position_ids[real][None],
            # With a mask of this shape transformers makes none of its own. It is no number, so that
            # a family that lost `rows_apart` on the way would be seen to have.
            attention_mask=torch.full((1, 1, 1, 1), torch.nan),
            rows_apart=attention.apart(rows.part, rows.lengths, rows.last.shape[1], self._dtype),
        )

    def _backbone(self, input_ids: Tensor, read: Tensor, **given: Any) -> Tensor:
        """Return the outputs of the model without its head, at places of the flattened ids."""
        if self._ends_where_read:
            given[last_block.KEY] = read.flatten()
        outputs = self.model.base_model(input_ids=input_ids, use_cache=False, **given)
        return outputs.last_hidden_state.flatten(0, 1)[read]

    def _own_logits(self, rows: Rows, read: Tensor) -> Tensor:
        """Return the logits of the model's own forward, ``[*read.shape, vocabulary]``.

        The rows are of one text each, and what comes before all responses is left out.
        """
        tokens = rows.part.shape[1]
        before = int(rows.response_mask.any(0).nonzero()[0]) - 1
        kept = tokens - before
        logits = self.model(input_ids=rows.input_ids, use_cache=False, logits_to_keep=kept).logits
        return logits[read // tokens, (read % tokens - before).clamp(min=0)]

    def _mask(self, part: Tensor, row: Tensor | None, members: int) -> Tensor | BlockMask:
        """Return which tokens attend to which, as ``attention`` has it."""
        if self.skips_blocks:
            return attention.by_block(part, row, members)
        return attention.dense(part, row, members, self._dtype)

    @property
    def _dtype(self) -> torch.dtype:
        """That of the products."""
        return torch.bfloat16 if self.low_precision else self.model.dtype

    def _pooled(self, rows: Rows) -> Tensor:
        """Return the places in the rows that the rewards are read at, ``[rows, members]``."""
        if self.readout is not Readout.REWARD_AT_NONZERO_COUNT:
            return rows.last
        parts = range(rows.last.shape[1] + 1)
        not_zero = rows.input_ids != 0
        of_prompt, *own = [((rows.part == part) & not_zero).sum(1) for part in parts]
        # A text of nothing but token 0 has no such position; its first token serves.
        position = (torch.stack(own, 1) + of_prompt[:, None]).clamp(min=1) - 1
        behind = rows.last - rows.position_ids.gather(1, rows.last) + position
        return torch.where(position < rows.shared, position, behind)

    def _reward(self, pooled: Tensor) -> Tensor:
        """Apply the head, at full precision, to ``[rows, members, width]``; ``[rows, members]``."""
        head = cast(nn.Linear, self.model.score)
        with torch.autocast(pooled.device.type, enabled=False):
            return head(pooled.to(head.weight.dtype)).float().squeeze(2)

    def _log_probabilities(self, rows: Rows) -> Tensor:
        """Return each response token's log-probability, 0 elsewhere; float64 ``[rows, tokens]``.

        The vocabulary is many times wider than the hidden states, so only those positions that
        predict a response token go through the language-model head: the one before it or, for the
        first tokens behind a shared prompt, that prompt's last.
        """
        tokens = rows.part.shape[1]
        of_row = torch.arange(tokens, device=rows.part.device)
        predictor = torch.where(rows.part != rows.part.roll(1, 1), rows.shared, of_row) - 1
        predicting = rows.scored // tokens * tokens + predictor.flatten()[rows.scored]
        if scores_by_itself(self.model):
            logits = self._own_logits(rows, predicting)
        else:
            head = cast(nn.Module, self.model.get_output_embeddings())
            logits = head(self._hidden(rows, predicting))
        targets = rows.input_ids.flatten()[rows.scored]
        of_targets = -functional.cross_entropy(logits.float(), targets, reduction="none")
        grid = of_targets.new_zeros(rows.part.numel(), dtype=torch.float64)
        return grid.scatter(0, rows.scored, of_targets.double()).view_as(rows.part)


def low_precision(compat: Compat) -> bool:
    """Return whether products are in bfloat16: on a GPU that has it, unless told otherwise."""
    return compat.precision == "fixed" and device.has_bfloat16()


def shares_prompts(model: PreTrainedModel, longest: int) -> bool:
    """Return whether one row may hold several sequences of one prompt.

    Args:
        model: the model.
        longest: most tokens of a sequence. The mask of a shared row knows no window, so it must not
            be longer than the model's.
    """
    if scores_by_itself(model) or model.config.model_type not in attention.GIVEN_MASKS:
        return False
    return _sees_all(model, longest)


def _sees_all(model: PreTrainedModel, longest: int) -> bool:
    """Return whether a model's last token sees the first of so many, by its sliding window."""
    window = getattr(model.config, "sliding_window", None)
    return window is None or longest <= window


def scores_by_itself(model: PreTrainedModel) -> bool:
    """Return whether the model's own forward gives its log-probabilities (``OWN_FORWARD``)."""
    return bool(getattr(model.config, OWN_FORWARD, False))


def _by_length(batch: Rows) -> list[Tensor]:
    """Return the rows of a batch as groups of similar length, each to be padded on its own.

    On a CPU padding costs as much as text.
    """
    lengths = batch.lengths
    if lengths.device.type == "cpu" and not device.packs_rows():
        padded = batch.input_ids.numel()
        if lengths.sum() < (1 - _WORTH_CUTTING) * padded:
            return list(lengths.argsort(stable=True).chunk(_GROUPS))
    return [torch.arange(len(lengths), device=lengths.device)]
