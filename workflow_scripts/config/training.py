"""What ``config.yaml`` may say of all trainings."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from workflow_scripts.core.section import Settings, Share

CHANGES_NO_RESULT = "checks the configuration, whose values are in the rules' slices"


class Adam(Settings):
    """Adam without weight decay."""

    beta1: Share = 0.9
    beta2: Share = 0.999
    epsilon: PositiveFloat = 1e-8


class Training(Settings):
    """What every fine-tuning shares."""

    batch_size: PositiveInt = 32
    max_length: Annotated[int, Field(ge=8)] = 512
    data_order: Literal["shuffled", "file"] = "shuffled"
    adam: Adam = Adam()
