"""What of the test pairs themselves a probe uses: which hang together, and how long they are."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_table
from workflow_scripts.measures.statistic import Array


@dataclass(frozen=True)
class ProbedPairs:
    """The test pairs, in the order of their sorted ids. Every array has shape (pairs,).

    Attributes:
        groups: the number of each pair's group, from 0 on without a gap.
        longer: characters by which the chosen response is longer than the rejected one.
    """

    groups: npt.NDArray[np.int64]
    longer: Array

    @classmethod
    def single(cls, pairs: int) -> "ProbedPairs":
        """Return pairs each of which is a group of its own, of responses of equal length."""
        return cls(np.arange(pairs), np.zeros(pairs))

    @property
    def number_of_groups(self) -> int:
        """How many groups there are."""
        return int(self.groups.max()) + 1


def read_probed_pairs(path: str, predictions: str) -> ProbedPairs:
    """Return the test pairs, which must be those of a file of predictions.

    Raises:
        UserError: if the file is no set of pairs with groups, or has other pairs.
    """
    table = read_table(path, ["id", "group", "chosen", "rejected"]).sort_by("id")
    predicted = sorted(read_table(predictions, ["id"])["id"].to_pylist())
    if predicted != table["id"].to_pylist():
        raise UserError(f"{path}: holds other pairs than {predictions}; predict again on these")
    chosen, rejected = (table[name].to_pylist() for name in ("chosen", "rejected"))
    longer = [len(better) - len(worse) for better, worse in zip(chosen, rejected, strict=True)]
    names = np.array(table["group"].to_pylist(), dtype=np.str_)
    return ProbedPairs(np.unique(names, return_inverse=True)[1], np.array(longer, dtype=np.float64))
