"""How token sequences lie in a batch, and how its rows are packed into fewer, longer ones."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Rows(NamedTuple):
    """A right-padded batch, of which a row holds one or several sequences of one prompt.

    A row is the prompt, if its sequences share it, then what each of them has of its own. Packed,
    several rows go through the model as one, without seeing one another.

    Attributes:
        input_ids: int64 ``[rows, tokens]``.
        position_ids: counted from where a token's own sequence begins, int64 ``[rows, tokens]``.
        part: 0 at a shared prompt, i at the i-th sequence's own tokens, -1 at padding;
            int64 ``[rows, tokens]``.
        response_mask: true at the tokens that are scored, bool ``[rows, tokens]``.
        scored: where it is true, as places of the flattened batch, int64 ``[scored]``.
        last: where each sequence's last token is, int64 ``[rows, members]``.
        unscored: how many of each response's tokens are not scored, int64 ``[rows, members]``.
        packed: which place of the flattened batch each place of a packed row holds, -1 for padding;
            int64 ``[packed rows, packed tokens]``. None where nothing is packed.
        unpacked: where each token is in the flattened packed rows, int64 ``[rows, tokens]``.
    """

    input_ids: Tensor
    position_ids: Tensor
    part: Tensor
    response_mask: Tensor
    scored: Tensor
    last: Tensor
    unscored: Tensor | None = None
    packed: Tensor | None = None
    unpacked: Tensor | None = None

    @property
    def lengths(self) -> Tensor:
        """How many tokens each row has without padding, ``[rows]``."""
        return self.last[:, -1] + 1

    @property
    def shared(self) -> Tensor:
        """How many tokens of each row are a shared prompt, ``[rows, 1]``."""
        return (self.part == 0).sum(1, keepdim=True)

    def at(self, places: Tensor) -> "Rows":
        """Return some rows of a batch that is not packed, padded to the longest of them."""
        tokens = int(self.lengths[places].max())
        response_mask = self.response_mask[places, :tokens]
        return Rows(
            self.input_ids[places, :tokens],
            self.position_ids[places, :tokens],
            self.part[places, :tokens],
            response_mask,
            response_mask.flatten().nonzero().squeeze(1),
            self.last[places],
            None if self.unscored is None else self.unscored[places],
        )


def packing(lengths: NDArray[np.int64], into: NDArray[np.int64]) -> dict[str, Tensor]:
    """Return ``packed`` and ``unpacked`` of ``Rows``, by name.

    Args:
        lengths: tokens of each row, ``[rows]``.
        into: the packed row that it goes into, numbered from 0 without a gap, ``[rows]``.
    """
    tokens = lengths.max()
    widths = np.bincount(into, weights=lengths).astype(np.int64)
    begins = np.empty_like(lengths)
    for row in range(len(widths)):
        here = into == row
        begins[here] = np.cumsum(lengths[here]) - lengths[here]
    places = np.arange(tokens)[None]
    real = places < lengths[:, None]
    unpacked = np.where(real, (into * widths.max() + begins)[:, None] + places, 0)
    packed = np.full(len(widths) * widths.max(), -1)
    packed[unpacked[real]] = np.flatnonzero(real)
    return {
        "packed": torch.from_numpy(packed.reshape(len(widths), -1)),
        "unpacked": torch.from_numpy(unpacked),
    }
