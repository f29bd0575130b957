"""Which pairs of a step's batch each rank trains on, and how they go through its model.

On a GPU, and where several ranks train together, pairs are packed: laid one behind the other into
rows of about equal length, as many in each rank's share. So hardly any padding is computed, and no
rank waits long for another. A single process on a CPU keeps each pair in a row of its own, which
attention has by itself there, so that nothing is padded (``models/scorer.py``).

The mean over the batch is the same in exact arithmetic, however it is cut.
"""

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class MicroBatch:
    """What goes through one rank's model at once.

    Attributes:
        examples: which ones, ``[examples]``.
        rows: the packed row that each is in, numbered from 0 without a gap, ``[examples]``; None
            where each has a row of its own.
    """

    examples: NDArray[np.int64]
    rows: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Packing:
    """What decides how long packed rows are.

    Attributes:
        tokens_at_once: the most that one forward of a rank takes, unless a single pair has more.
        width: of the model, in numbers a token.
        skips_blocks: whether attention computes nothing, or little, between the pairs of a row.
    """

    tokens_at_once: int
    width: int
    skips_blocks: bool = False


@dataclass(frozen=True)
class Shares:
    """What one rank trains on, step by step; an index is a step.

    Attributes:
        order: the examples of each step's batch, ``[steps, batch]``.
        lengths: tokens of each example's row, ``[examples]``.
        micro_batch: examples at once, where nothing is packed.
        ranks: how many share each batch.
        rank: which of them this is.
        packing: how examples are packed; None where they are not.
    """

    order: NDArray[np.int64]
    lengths: NDArray[np.int64]
    micro_batch: int
    ranks: int = 1
    rank: int = 0
    packing: Packing | None = None

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.order)

    def __getitem__(self, step: int) -> list[MicroBatch]:
        """Return the micro-batches of a step: equally many on every rank."""
        batch = self.order[step]
        if self.packing is None:
            return sliced(batch, self.ranks, self.micro_batch)[self.rank]
        return packed(batch, self.lengths[batch], self.ranks, self.packing)[self.rank]


def sliced(batch: NDArray[np.int64], ranks: int, micro_batch: int) -> list[list[MicroBatch]]:
    """Return each rank's micro-batches of equally many examples, slices of the batch in turn.

    Args:
        batch: examples, by length, ``[batch]``.
        ranks: how many share them.
        micro_batch: examples of each slice.
    """
    slices = [MicroBatch(of) for of in batch.reshape(-1, micro_batch)]
    return [slices[rank::ranks] for rank in range(ranks)]


def packed(
    batch: NDArray[np.int64], lengths: NDArray[np.int64], ranks: int, packing: Packing
) -> list[list[MicroBatch]]:
    """Return each rank's micro-batches, equally many of them, with their examples packed.

    Args:
        batch: examples, ``[batch]``.
        lengths: their tokens, ``[batch]``.
        ranks: how many share them.
        packing: what decides how long rows are.
    """
    rows = _rows(lengths, ranks, packing)
    widths = [int(lengths[row].sum()) for row in rows]
    # Rows of about one length to each rank: it pads them to its longest.
    by_width = [rows[row] for row in np.argsort(widths, kind="stable")]
    each, at_once = len(rows) // ranks, max(1, packing.tokens_at_once // max(widths))
    cuts = range(0, each, _evenly(each, at_once))
    return [
        [
            _micro_batch(batch, by_width[each * rank : each * (rank + 1)][cut : cut + cuts.step])
            for cut in cuts
        ]
        for rank in range(ranks)
    ]


def _micro_batch(batch: NDArray[np.int64], rows: list[list[int]]) -> MicroBatch:
    places = [place for row in rows for place in row]
    into = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    return MicroBatch(batch[places], None if len(places) == len(rows) else into)


def _evenly(count: int, at_most: int) -> int:
    """Return how many of ``count`` come at once, in as few and as equal parts as can be."""
    parts = -(-count // at_most)
    return -(-count // parts)


def _rows(lengths: NDArray[np.int64], ranks: int, packing: Packing) -> list[list[int]]:
    """Return the places in the batch that make up each row, equally many rows a rank.

    Of all numbers of rows the one is taken at which the slowest rank has least to compute. Per
    token and layer of width d, products with the weights take 24 d² operations forward, and
    attention over a row of L tokens 4 d L: as if a token cost 1 + L / 6 d. Where attention skips
    what is between pairs, a row may be as long as fits, and needs no padding then.
    """
    chosen: list[list[int]] = []
    least = np.inf
    for each in range(1, len(lengths) // ranks + 1):
        rows = _alike(lengths, each * ranks)
        longest = max(int(lengths[row].sum()) for row in rows)
        if longest > max(packing.tokens_at_once, lengths.max()):
            continue
        if packing.skips_blocks:
            return rows
        cost = each * longest * (1 + longest / (6 * packing.width))
        if cost <= least:
            chosen, least = rows, cost
    return chosen


def _alike(lengths: NDArray[np.int64], rows: int) -> list[list[int]]:
    """Return places for ``rows`` rows of about equal length.

    The longest comes first, and each goes to the row that is shortest so far.
    """
    filled = [(0, row) for row in range(rows)]
    places: list[list[int]] = [[] for _ in range(rows)]
    for place in np.argsort(-lengths, kind="stable").tolist():
        tokens, row = heapq.heappop(filled)
        places[row].append(place)
        heapq.heappush(filled, (tokens + int(lengths[place]), row))
    return places
