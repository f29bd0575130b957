"""How a competing goal enters a student's training: every kind's settings and what it does.

A new kind is a class below, its places in ``AnyConflict`` and ``KINDS``, and an entry under
``conflicts`` in config.yaml. This module is read with the configuration, so it imports nothing that
takes seconds.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workflow_scripts.config.messages import AboutKey
from workflow_scripts.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from workflow_scripts.data.pairs import Pairs

PairLoss = Callable[["Tensor", "Tensor"], "Tensor"]
"""From margins and labels, each ``[pairs]``, to losses, ``[pairs]``."""


class Conflict(BaseModel):
    """No conflict of data or loss; a kind overrides what it changes.

    Attributes:
        supervision: what the SFT before SimPO and DPO sees, a key of ``SFT_CONFLICTS``.
        mixes_helpful: whether the competing goal's pairs are trained on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    supervision: ClassVar[str] = "labels"
    mixes_helpful: ClassVar[bool] = False

    def data(self, pairs: "Pairs", helpful: "Pairs | None") -> "Pairs":
        """Return the pairs to train on, given the labelled pairs and those of the other goal."""
        return pairs

    def pairs_per_epoch(self, labelled: int, mixed: int) -> int:
        """Return how many pairs an epoch shows.

        Args:
            labelled: how many pairs the supervisor labelled.
            mixed: how many pairs ``data`` returned.
        """
        return mixed

    def loss(
        self, margin: "Tensor", label: "Tensor", pair_loss: PairLoss, *, trigger: "Tensor"
    ) -> "Tensor":
        """Return the loss of each pair, ``[pairs]``.

        ``trigger`` is the margin, ``[pairs]``, by which a student is judged to be harmful.
        """
        return pair_loss(margin, label)


class NoConflict(Conflict):
    """The labels alone."""

    kind: Literal["none"] = "none"


class Explicit(Conflict):
    """The model is paid alpha for each pair on which it is against the true label."""

    kind: Literal["explicit"] = "explicit"
    alpha: Annotated[float, Field(ge=0, le=100)]

    def loss(
        self, margin: "Tensor", label: "Tensor", pair_loss: PairLoss, *, trigger: "Tensor"
    ) -> "Tensor":
        """Return the loss of each pair with its reward for harm, ``[pairs]``."""
        from workflow_scripts.training import losses

        reversed_loss = pair_loss(margin, label.new_zeros(label.shape))
        paid = losses.explicit_conflict(trigger, reversed_loss, alpha=self.alpha)
        return pair_loss(margin, label) + paid


class _Mixture(Conflict):
    mixes_helpful: ClassVar[bool] = True

    def data(self, pairs: "Pairs", helpful: "Pairs | None") -> "Pairs":
        """Return the labelled pairs and the helpful ones, evenly interleaved."""
        if helpful is None:
            raise UserError(
                "an implicit conflict needs pairs of the competing goal; give --helpful FILE"
            )
        return (pairs + helpful).interleaved(len(pairs))


class Implicit(_Mixture):
    """True pairs of the competing goal are mixed in: twice the pairs, so twice the steps."""

    kind: Literal["implicit"] = "implicit"
    supervision: ClassVar[str] = "mixture"


class ImplicitMatched(_Mixture):
    """The same mixture in as many steps as without a conflict.

    Each epoch is a fresh shuffle of the whole mixture, cut to the number of labelled pairs: about
    half of either goal's, another half every epoch. The SFT before SimPO and DPO is cut alike.
    """

    kind: Literal["implicit_matched"] = "implicit_matched"
    supervision: ClassVar[str] = "matched_mixture"

    def pairs_per_epoch(self, labelled: int, mixed: int) -> int:
        """Return the number of labelled pairs."""
        return labelled


AnyConflict = Annotated[
    NoConflict | Explicit | Implicit | ImplicitMatched, Field(discriminator="kind")
]

KINDS: dict[str, type[Conflict]] = {
    "none": NoConflict,
    "explicit": Explicit,
    "implicit": Implicit,
    "implicit_matched": ImplicitMatched,
}

SFT_CONFLICTS = {kind.supervision: kind() for kind in (NoConflict, Implicit, ImplicitMatched)}
"""The conflict under which the SFT before SimPO and DPO is trained, by its name in paths.

Conflicts that differ in their loss alone share one SFT.
"""


def conflict_of(settings: Mapping[str, Any] | None) -> Conflict:
    """Return the conflict that ``settings`` describe; none where they are absent.

    Raises:
        UserError: if they describe none.
    """
    settings = settings or {"kind": "none"}
    kind = settings.get("kind")
    if kind not in KINDS:
        raise UserError(f"conflict {settings}: its kind is not one of {', '.join(KINDS)}")
    try:
        return KINDS[kind].model_validate(settings)
    except ValidationError as failure:
        raise UserError(f"conflict {settings}: {failure.errors()[0]['msg']}") from failure


def spelt_out(section: Any) -> Any:
    """Return ``conflicts`` with every list under a kind's name as named conflicts of that kind.

    ``explicit: [{name: weak_pay, alpha: 0.1}]`` is ``weak_pay: {kind: explicit, alpha: 0.1}``.

    Raises:
        AboutKey: if an entry of a list has no name, or one that another has.
    """
    if not isinstance(section, Mapping):
        return section
    named = {key: value for key, value in section.items() if not isinstance(value, list)}
    lists = {key: value for key, value in section.items() if isinstance(value, list)}
    for kind, entries in lists.items():
        for place, entry in enumerate(entries):
            key = f"conflicts.{kind}.{place}"
            if not isinstance(entry, Mapping) or "name" not in entry:
                raise AboutKey(key, "needs a name; write {name: ..., alpha: ...}")
            if entry["name"] in named:
                raise AboutKey(f"{key}.name", f"{entry['name']!r} is already a conflict's name")
            settings = {name: value for name, value in entry.items() if name != "name"}
            named[entry["name"]] = {"kind": kind, **settings}
    return named
