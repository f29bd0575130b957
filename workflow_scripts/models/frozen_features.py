"""A reward head alone, trained and read out on features of a frozen backbone, computed once.

As ``linear_probe`` in the code of Burns et al., Weak-to-strong generalization (2023).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from workflow_scripts.core.files import read_table
from workflow_scripts.data.pairs import rows_of
from workflow_scripts.models.scorer import PairScorer

SIDES = ("chosen", "rejected")


@dataclass(frozen=True)
class Features:
    """What a frozen backbone makes of texts: they stand in for the texts' tokens.

    Attributes:
        values: what the reward head is given of each text, ``[texts, width]``.
        lengths: how many tokens it has, ``[texts]``.
    """

    values: NDArray[np.float32]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.values)

    def row_lengths(self, members: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many tokens the texts of each row have together, ``[rows]``."""
        return self.lengths[members].sum(1)

    def padded(self, members: NDArray[np.int64]) -> dict[str, Tensor]:
        """Return the features of every row's first text, then the others; they need no padding.

        Args:
            members: the texts of each row, ``[rows, members]``.
        """
        return {"features": torch.from_numpy(self.values[members.T.ravel()])}


class Backbone(PairScorer):
    """Gives each sequence, in place of a reward, what the head makes it of."""

    def _reward(self, pooled: Tensor) -> Tensor:
        """Return the features, float32 ``[rows, members, width]``."""
        return pooled.float()


class HeadScorer(nn.Module):
    """A model of which the reward head alone is used, and can be trained."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Wrap ``model`` and freeze all of it but its ``score`` head."""
        super().__init__()
        self.model = model.requires_grad_(False)
        self._head.requires_grad_(True)

    @property
    def _head(self) -> nn.Linear:
        return cast(nn.Linear, self.model.score)

    def forward(self, features: Tensor) -> Tensor:
        """Return the rewards, float32 ``[sequences]``, of ``[sequences, width]``."""
        with torch.autocast(features.device.type, enabled=False):
            return self._head(features.to(self._head.weight.dtype)).float().squeeze(1)


def read_features(paths: Sequence[str], ids: Sequence[str]) -> Features:
    """Return the features of all chosen, then of all rejected texts of the pairs ``ids``.

    Args:
        paths: files of the stage ``features``, of one model and several sets of pairs.
        ids: names of the pairs, each in one of the files.

    Raises:
        UserError: if a file cannot be read or none has one of the pairs.
    """
    import pyarrow as pa

    columns = [*SIDES, *(f"{side}_tokens" for side in SIDES)]
    table = pa.concat_tables([read_table(path, ["id", *columns]) for path in paths])
    rows = rows_of(", ".join(paths), table["id"].to_pylist(), ids)
    values = [table[side].combine_chunks().flatten().to_numpy() for side in SIDES]
    lengths = [table[f"{side}_tokens"].to_numpy() for side in SIDES]
    return Features(
        np.concatenate([of_side.reshape(len(table), -1)[rows] for of_side in values]),
        np.concatenate([of_side[rows] for of_side in lengths]).astype(np.int64),
    )
