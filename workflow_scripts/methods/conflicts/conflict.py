"""What every conflict shares. Adding one: a file next to this one, and a line in ``registry``.

Read with the configuration, so nothing that takes seconds is imported at a module's top.
"""

from typing import TYPE_CHECKING, Any, ClassVar

from workflow_scripts.core.section import Settings
from workflow_scripts.methods.objectives import PairLoss

if TYPE_CHECKING:
    from torch import Tensor

    from workflow_scripts.data.pairs import Pairs


class Conflict(Settings):
    """No conflict of data or loss; a kind overrides what it changes.

    A kind has a field ``kind: Literal["its name"] = "its name"``.

    Attributes:
        supervision: what the SFT before SimPO and DPO sees, a key of ``SFT_CONFLICTS``.
        mixes_helpful: whether the competing goal's pairs are trained on.
        has_trigger: whether the loss depends on which pairs the student is harmful on.
        step_quirks: the compatibility switches on which the number of steps depends.
    """

    supervision: ClassVar[str] = "labels"
    mixes_helpful: ClassVar[bool] = False
    has_trigger: ClassVar[bool] = False
    step_quirks: ClassVar[frozenset[str]] = frozenset()

    kind: Any

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
