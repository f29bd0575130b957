"""What the score of a token sequence is."""

from enum import StrEnum


class Readout(StrEnum):
    """What the score of a sequence is (docs/method.md)."""

    REWARD = "reward"
    REWARD_AT_NONZERO_COUNT = "reward, read at the count of tokens that are not 0"
    MEAN_LOG_PROBABILITY = "mean log-probability"
    MEAN_OVER_ALL_TOKENS = "mean log-probability, a token that nothing predicts counting as 0"
    SUMMED_LOG_PROBABILITY = "summed log-probability"

    @property
    def is_reward(self) -> bool:
        """Whether the score comes from a head of its own."""
        return self in (Readout.REWARD, Readout.REWARD_AT_NONZERO_COUNT)
