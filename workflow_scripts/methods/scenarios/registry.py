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
    """Return ``scenarios`` with what an entry leaves out: its kind, and a variant's other keys.

    An entry that gives no kind is of the kind of its name. A variant, whose name is another, takes
    the keys that it leaves out from the entry that is named as its kind.
    """
    if not isinstance(section, Mapping):
        return section
    named = {
        name: {"kind": name, **entry}
        for name, entry in section.items()
        if isinstance(entry, Mapping)
    }
    of_kinds = {name: entry for name, entry in named.items() if entry["kind"] == name}
    return {
        name: {**of_kinds.get(str(named[name]["kind"]), {}), **named[name]}
        if name in named
        else entry
        for name, entry in section.items()
    }
