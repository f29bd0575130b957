"""A set of pairs with the account of the rows that it was made from, as report.json shows it."""

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workflow_scripts.data.groups import group_of
from workflow_scripts.data.screening import GROUP, NO_FAULTS, REPEATS, Pair, Reason
from workflow_scripts.data.sources import RowSource

if TYPE_CHECKING:
    import pyarrow as pa

FEWEST_WARNED = 100
"""Pairs below which labels are never called random."""


@dataclass(slots=True)
class FilledSet:
    """A set of pairs, and the account of the rows it was made from."""

    name: str
    source: RowSource
    asked: int
    read: int = 0
    not_single_turn: int = 0
    dropped: Counter[Reason] = field(default_factory=Counter)
    pairs: dict[str, Pair] = field(default_factory=dict)
    """The kept pairs by id, ``{set}-{row number in the source}``, in order."""
    texts: set[Pair] = field(default_factory=set)
    """The same pairs, for finding repeats."""

    @property
    def selected(self) -> int:
        """Rows that were candidates: all that were read but dialogues of several turns."""
        return self.read - self.not_single_turn

    def faults(self, without: Set[Reason] = frozenset()) -> Counter[Reason]:
        """Return how many rows were dropped for each reason that counts as a fault."""
        excused = NO_FAULTS | without
        if self.source.get("repeated_prompts"):
            excused |= REPEATS
        return Counter({r: n for r, n in self.dropped.items() if r not in excused})

    def account(self) -> dict[str, Any]:
        """Return this set's entry in ``report.json``."""
        return {
            "source": self.source,
            "revision": self.source.get("revision"),
            **counts([self]),
            "groups": len(set(map(group_of, self.pairs.values()))),
            "rules": {name: round(share, 4) for name, share in self.rules().items()},
            "warnings": self.warnings(),
        }

    def rules(self) -> dict[str, float]:
        """Return the accuracy of rules that read no text, a pair that they cannot tell as half.

        ``shorter_wins`` prefers the response of fewer characters. ``first_wins`` prefers
        response_0, where the source has a column that says which response is better.
        """
        lengths = [(len(pair.chosen), len(pair.rejected)) for pair in self.pairs.values()]
        wins = sum((a < b) + (a == b) / 2 for a, b in lengths)
        rules = {"shorter_wins": wins / len(lengths)}
        if "prefer" in self.source:
            first = sum(pair.first_preferred for pair in self.pairs.values())
            rules["first_wins"] = first / len(lengths)
        return rules

    def warnings(self) -> list[str]:
        """Return what in the labels should be looked at.

        Rows' own names for the responses are where an order is easily taken for a preference.
        """
        renamed = "prefer" in self.source or "chosen" in self.source.get("columns", {})
        pairs = len(self.pairs)
        # Two standard errors of the accuracy of a rule that guesses.
        near = all(abs(share - 0.5) * pairs**0.5 < 1 for share in self.rules().values())
        if not renamed or pairs < FEWEST_WARNED or not near:
            return []
        rules = ", ".join(f"{name} {share:.3f}" for name, share in self.rules().items())
        fix = (
            "check `prefer`"
            if "prefer" in self.source
            else ("if a column says which response is better, name it in `prefer`")
        )
        return [
            f"labels may be random: over {pairs} pairs no rule of length or order beats a guess "
            f"({rules}); {fix}"
        ]

    def table(self) -> "pa.Table":
        """Return its pairs as a table: id, prompt, chosen, rejected, group."""
        import pyarrow as pa

        columns = {
            "id": list(self.pairs),
            "prompt": [pair.prompt for pair in self.pairs.values()],
            "chosen": [pair.chosen for pair in self.pairs.values()],
            "rejected": [pair.rejected for pair in self.pairs.values()],
            GROUP: [group_of(pair) for pair in self.pairs.values()],
        }
        return pa.table(columns, schema=pa.schema([(name, pa.string()) for name in columns]))


def counts(filled: Sequence[FilledSet]) -> dict[str, Any]:
    """Return how many rows of these sets were read, dropped (by reason) and kept."""
    return {
        "asked": sum(part.asked for part in filled),
        "read": sum(part.read for part in filled),
        "not_single_turn": sum(part.not_single_turn for part in filled),
        "selected": sum(part.selected for part in filled),
        "dropped": dict(sum((part.dropped for part in filled), Counter[Reason]())),
        "kept": sum(len(part.pairs) for part in filled),
    }
