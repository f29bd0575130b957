"""Conflict ``placebo``: none, in another order of the data."""

from typing import TYPE_CHECKING, Literal

from workflow_scripts.methods.conflicts.conflict import Conflict

if TYPE_CHECKING:
    from workflow_scripts.data.pairs import Pairs


PLACEBO = "placebo"
"""Its only name, too: the paths of its students."""


class Placebo(Conflict):
    """The labels alone, in another order: what a mere retraining changes.

    Where every student has several seeds, a seed before is such a placebo. The first one has this.
    """

    kind: Literal["placebo"] = "placebo"

    def data(self, pairs: "Pairs", helpful: "Pairs | None") -> "Pairs":
        """Return the labelled pairs in another order."""
        from workflow_scripts.core.seeds import generator

        return pairs.at(generator("placebo").permutation(len(pairs)))
