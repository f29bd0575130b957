"""Every way of training, by the name that settings call it."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from workflow_scripts.methods.method import Method, Sft
from workflow_scripts.methods.scenarios.dpo import Dpo
from workflow_scripts.methods.scenarios.reward_model import RewardModel
from workflow_scripts.methods.scenarios.scenario import Scenario
from workflow_scripts.methods.scenarios.simpo import Simpo

METHODS: dict[str, type[Method]] = {
    "sft": Sft,
    "reward_model": RewardModel,
    "simpo": Simpo,
    "dpo": Dpo,
}
"""Each method's class, by its name in the settings of a training."""


def scenario_class(kind: str) -> type[Scenario]:
    """Return the class of a kind of scenario.

    Raises:
        KeyError: if it is none; a rule's settings name one.
    """
    found = METHODS[kind]
    assert issubclass(found, Scenario), f"{kind} trains, but learns no preference"
    return found


if TYPE_CHECKING:
    AnyScenario = Scenario
else:
    AnyScenario = Annotated[
        reduce(or_, (kind for kind in METHODS.values() if issubclass(kind, Scenario))),
        Field(discriminator="kind"),
    ]


def with_kinds(section: Any) -> Any:
    """Return ``scenarios`` with the kind of each entry: its own name where it gives none."""
    if not isinstance(section, Mapping):
        return section
    return {
        name: {"kind": name, **entry} if isinstance(entry, Mapping) else entry
        for name, entry in section.items()
    }
