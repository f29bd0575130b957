"""The loss that each objective trains with, as a training's settings put it."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from workflow_scripts import losses
from workflow_scripts.conflicts import Conflict
from workflow_scripts.settings import Compat
from workflow_scripts.trainer import Likelihood, Objective, Preference


def _sft(settings: Mapping[str, Any], conflict: Conflict, compat: Compat) -> Objective:
    return Likelihood()


def _reward_model(settings: Mapping[str, Any], conflict: Conflict, compat: Compat) -> Objective:
    return Preference(losses.reward_model, conflict)


def _simpo(settings: Mapping[str, Any], conflict: Conflict, compat: Compat) -> Objective:
    loss = partial(losses.simpo, beta=settings["beta"], gamma=settings["gamma"])
    return Preference(loss, conflict)


def _dpo(settings: Mapping[str, Any], conflict: Conflict, compat: Compat) -> Objective:
    loss = partial(losses.dpo, beta=settings["beta"])
    without_reference = compat.explicit_trigger == "reference"
    return Preference(
        loss,
        conflict,
        starts_as_reference=True,
        trigger_without_reference=without_reference,
    )


OBJECTIVES: dict[str, Callable[[Mapping[str, Any], Conflict, Compat], Objective]] = {
    "sft": _sft,
    "reward_model": _reward_model,
    "simpo": _simpo,
    "dpo": _dpo,
}
"""From settings, conflict and switches to the loss, by the objective's name in the settings."""
