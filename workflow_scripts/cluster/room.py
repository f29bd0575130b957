"""How much of the disk models and the states of trainings take."""

from workflow_scripts.cluster.model_sizes import shape_of
from workflow_scripts.config.experiment import Config
from workflow_scripts.config.uses import Use

STORED_BYTES = {"float32": 4, "bfloat16": 2}
"""Of each weight of a checkpoint, by `checkpoint_dtype`."""
TRAINED_BYTES = 4
"""Of each weight that is trained, of each of Adam's moments, and of base models: float32."""


def checkpoint_bytes(config: Config, model: str, use: Use = "training") -> int:
    """Return the size of a model's checkpoint: of adapters, theirs alone."""
    shape = shape_of(config, model, use)
    return STORED_BYTES[config.checkpoint_dtype] * (shape.adapters or shape.params)


def state_bytes(config: Config, model: str, use: Use = "training") -> int:
    """Return the size of the state of a model's training: what it trains, and Adam's two moments.

    A linear probe trains a reward head, one weight a number of the hidden state.
    """
    shape = shape_of(config, model, use)
    trained = shape.width if use == "probe" else shape.adapters or shape.params
    return 3 * TRAINED_BYTES * trained


def base_model_bytes(config: Config, model: str) -> int:
    """Return the size of a base model."""
    return TRAINED_BYTES * shape_of(config, model).params
