"""What the score of a token sequence is."""

from enum import StrEnum


class Readout(StrEnum):
    """What the score of a sequence is (docs/method.md)."""

    REWARD = "reward"
    REWARD_AT_NONZERO_COUNT = "reward, read at the count of tokens that are not 0"
    MEAN_LOG_PROBABILITY = "mean log-probability"
    SUMMED_LOG_PROBABILITY = "summed log-probability"

    @property
    def is_reward(self) -> bool:
        """Whether the score comes from a head of its own."""
        return self in (Readout.REWARD, Readout.REWARD_AT_NONZERO_COUNT)
