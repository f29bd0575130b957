"""What ``config.yaml`` may say of all trainings."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from workflow_scripts.core.section import Count, Settings, Share

CHANGES_NO_RESULT = "checks the configuration, whose values are in the rules' slices"


class Adam(Settings):
    """Adam without weight decay."""

    beta1: Share = 0.9
    """Decay of the first moment."""
    beta2: Share = 0.999
    """Decay of the second moment."""
    epsilon: PositiveFloat = 1e-8
    """Added to the denominator."""


class Training(Settings):
    """What every fine-tuning shares."""

    batch_size: Count = 32
    """Pairs in a batch, over all ranks."""
    max_length: Annotated[Count, Field(ge=8)] = 512
    """Tokens in a text at most; the prompt is cut first."""
    data_order: Literal["shuffled", "file", "shuffled_once"] = "shuffled"
    """A new shuffle each epoch; the file's own order every epoch; or one shuffle for all epochs."""
    adam: Adam = Adam()
    """The optimizer."""
