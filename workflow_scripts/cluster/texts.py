"""How many tokens the sets of pairs have: about what was prepared, or what they have at most."""

from collections.abc import Collection
from functools import cache

from workflow_scripts.config import paths
from workflow_scripts.config.experiment import Config
from workflow_scripts.core.files import read_table

CHANGES_NO_RESULT = "how long texts are, for estimates of time"

BYTES_A_TOKEN = 4
"""Measured with GPT-2's tokenizer on the single-turn pairs of HH-RLHF: 4.0 bytes."""


class Texts:
    """The sizes of all sets under one configuration."""

    def __init__(self, config: Config, prepared: Collection[str] = ()) -> None:
        """Name the files of the sets that are prepared; the others count at their greatest length.

        Args:
            config: the whole configuration.
            prepared: paths of sets.
        """
        self.config = config
        self.prepared = frozenset(prepared)
        self._counted = cache(self._count)

    def is_prepared(self, target: str, name: str) -> bool:
        """Return whether a set of a target is prepared."""
        return _path(target, name) in self.prepared

    def pairs(self, target: str, name: str) -> int:
        """Return how many pairs a set has, or is asked to have."""
        return self._counted(target, name)[0]

    def both(self, target: str, name: str) -> int:
        """Return the tokens of both texts of all pairs of a set."""
        return self._counted(target, name)[1]

    def chosen(self, target: str, name: str) -> int:
        """Return the tokens of the chosen texts of a set."""
        return self._counted(target, name)[2]

    def _count(self, target: str, name: str) -> tuple[int, int, int]:
        """Return pairs, tokens of both texts, and tokens of the chosen ones.

        Raises:
            UserError: if a set that is prepared cannot be read.
        """
        longest = self.config.training.max_length
        if not self.is_prepared(target, name):
            pairs = getattr(self.config.targets[target].sets, name).size
            return pairs, 2 * pairs * longest, pairs * longest
        import numpy as np
        import pyarrow.compute as pc

        table = read_table(_path(target, name), ["prompt", "chosen", "rejected"])
        prompt, chosen, rejected = (
            -(-pc.binary_length(column).to_numpy() // BYTES_A_TOKEN)  # pyright: ignore
            for column in table.columns
        )
        # A pair goes through the model with its prompt once. Prompts are cut, from the left.
        responses = np.minimum(chosen, longest) + np.minimum(rejected, longest)
        room = np.maximum(longest - np.maximum(chosen, rejected), 0)
        both = np.minimum(prompt, room) + responses
        alone = np.minimum(prompt + chosen, longest)
        return len(table), int(both.sum()), int(alone.sum())


def _path(target: str, name: str) -> str:
    return paths.PAIRS.format(target=target, set=name)
