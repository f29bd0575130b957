"""How token sequences lie in a batch."""

from typing import NamedTuple

from torch import Tensor


class Rows(NamedTuple):
    """A right-padded batch, of which a row holds one or several sequences of one prompt.

    A row is the prompt, if its sequences share it, then what each of them has of its own.

    Attributes:
        input_ids: int64 ``[rows, tokens]``.
        position_ids: counted from where a token's own sequence begins, int64 ``[rows, tokens]``.
        part: 0 at a shared prompt, i at the i-th sequence's own tokens, -1 at padding;
            int64 ``[rows, tokens]``.
        response_mask: true at the tokens that are scored, bool ``[rows, tokens]``.
        last: where each sequence's last token is, int64 ``[rows, members]``.
    """

    input_ids: Tensor
    position_ids: Tensor
    part: Tensor
    response_mask: Tensor
    last: Tensor

    @property
    def lengths(self) -> Tensor:
        """How many tokens each row has without padding, ``[rows]``."""
        return self.last[:, -1] + 1

    @property
    def shared(self) -> Tensor:
        """How many tokens of each row are a shared prompt, ``[rows, 1]``."""
        return (self.part == 0).sum(1, keepdim=True)

    def at(self, places: Tensor) -> "Rows":
        """Return some rows, padded to the longest of them."""
        tokens = int(self.lengths[places].max())
        return Rows(
            self.input_ids[places, :tokens],
            self.position_ids[places, :tokens],
            self.part[places, :tokens],
            self.response_mask[places, :tokens],
            self.last[places],
        )
