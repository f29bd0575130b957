"""Conflicts ``implicit`` and ``implicit_matched``: pairs of the competing goal are mixed in."""

from typing import TYPE_CHECKING, ClassVar, Literal

from workflow_scripts.core.errors import UserError
from workflow_scripts.methods.conflicts.conflict import Conflict

if TYPE_CHECKING:
    from workflow_scripts.data.pairs import Pairs


class _Mixture(Conflict):
    mixes_helpful: ClassVar[bool] = True

    def data(self, pairs: "Pairs", helpful: "Pairs | None") -> "Pairs":
        """Return the labelled pairs and, after them, the helpful ones."""
        if helpful is None:
            raise UserError(
                "an implicit conflict needs pairs of the competing goal; give --helpful FILE"
            )
        return pairs + helpful


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
    step_quirks: ClassVar[frozenset[str]] = frozenset({"implicit_steps"})

    def pairs_per_epoch(self, labelled: int, mixed: int) -> int:
        """Return the number of labelled pairs."""
        return labelled
