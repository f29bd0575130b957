"""Four sets of preference pairs, disjoint by group and by prompt, and the rows dropped from each.

Sets are filled in the order test, gt, weak, helpful, so that the test set stays whole where two
sources share prompts. A set with a source of its own takes the file's first usable rows. Sets that
name an equal source share it: its rows are shuffled once and each row is dealt to one set.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import TypedDict

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import canonical_json
from workflow_scripts.data.dialogues import MultiTurnError
from workflow_scripts.data.filled_sets import FilledSet
from workflow_scripts.data.formats import pair_reader
from workflow_scripts.data.groups import group_of, prompt_group
from workflow_scripts.data.screening import REPEATS, BadRowError, Pair, Reason
from workflow_scripts.data.sources import RowSource, location, read_rows

FILLING_ORDER = ("test", "gt", "weak", "helpful")

LOGGED = 20
"""Bad rows of one set that the log names for each reason; the others are counted."""

FIXES = {
    Reason.NOT_UTF8: "convert the file (iconv -f latin1 -t utf-8)",
    Reason.EQUAL_KEYS: "give each key of a row once",
}
"""What is done about a reason that is mostly one fault of a whole file."""

logger = logging.getLogger(__name__)

ELSEWHERE = {"prompt": Reason.PROMPT_IN_OTHER_SET, "group": Reason.GROUP_IN_OTHER_SET}
"""Why a row is dropped of whose prompt or group another set has a pair."""

Owners = dict[tuple[str, str], str]
"""The set that has each prompt and each group: by kind and name."""

Outcome = tuple[int, Pair | BadRowError | MultiTurnError]
"""A row's number in its source, and what became of it."""


class SetSettings(TypedDict):
    """One set as the resolved configuration has it."""

    size: int
    source: RowSource


def fill_sets(
    target: str,
    seed: int,
    max_bad: float,
    sets: Mapping[str, SetSettings],
    *,
    screens: bool = True,
) -> list[FilledSet]:
    """Return the four sets, disjoint by group and by prompt, each of at most its size.

    Prompts are compared as ``data.groups`` normalises them. Without ``screens`` repeats are kept,
    as in the authors' code, and pairs whose responses are blank or equal.

    Two shares of bad rows are compared with ``max_bad``. For each set it is the share of rows with
    a fault of their own, so that a broken file cannot hide among sound ones. For the whole target,
    repeated prompts count too: published splits leak into each other, in some files more than over
    all of them.

    Raises:
        UserError: if a source cannot be read, a set comes out empty, or more than ``max_bad`` of
            the rows are bad.
    """
    sharers = Counter(canonical_json(settings["source"]) for settings in sets.values())
    decks: dict[str, Iterator[Outcome]] = {}
    owners: Owners = {}
    filled: list[FilledSet] = []
    for name in FILLING_ORDER:
        source = sets[name]["source"]
        key = canonical_json(source)
        where = f"{target}.{name} from {location(source)}"
        try:
            if key not in decks:
                deck = read_outcomes(source, screens=screens)
                if sharers[key] > 1:
                    deck = by_group(shuffled(deck, target, seed))
                decks[key] = deck
            filled_set = FilledSet(name, source, asked=sets[name]["size"])
            _fill(filled_set, decks[key], owners if screens else None)
        except UserError as error:
            raise UserError(f"{target}.{name}: {error}") from error
        own_faults = filled_set.faults(without=REPEATS)
        _refuse_too_many_bad(where, own_faults, filled_set.selected, max_bad)
        _require_pairs(where, filled_set)
        for warning in filled_set.warnings():
            logger.warning("%s: %s", where, warning)
        filled.append(filled_set)
    dropped = sum((part.faults() for part in filled), Counter[Reason]())
    _refuse_too_many_bad(
        f"{target}, all sets", dropped, sum(part.selected for part in filled), max_bad
    )
    return filled


def read_outcomes(source: RowSource, *, screens: bool = True) -> Iterator[Outcome]:
    """Yield each row of ``source`` as a pair, or as the reason why it is not one.

    Raises:
        UserError: if the source cannot be read.
    """
    read_pair = pair_reader(
        source["format"],
        source.get("columns", {}),
        source.get("prefer"),
        multi_turn=source.get("multi_turn", False),
        group=source.get("group"),
        screens=screens,
    )
    for number, fields in read_rows(source):
        try:
            if isinstance(fields, BadRowError):
                raise fields
            yield number, read_pair(fields)
        except (BadRowError, MultiTurnError) as outcome:
            # A traceback would keep the whole raw row alive while a shared source is shuffled.
            yield number, outcome.with_traceback(None)


def shuffled(deck: Iterator[Outcome], target: str, seed: int) -> Iterator[Outcome]:
    """Return ``deck`` in an order that only ``target``, ``seed`` and its length decide.

    The generator is NumPy's default, seeded with the SHA-256 of ``{target}/{seed}``.
    """
    import numpy as np

    cards = list(deck)
    digest = sha256(f"{target}/{seed}".encode()).digest()
    order = np.random.default_rng(int.from_bytes(digest)).permutation(len(cards))
    return (cards[i] for i in order)


def by_group(deck: Iterator[Outcome]) -> Iterator[Outcome]:
    """Return ``deck`` with the pairs of one group next to each other, where its first one is.

    Dealt one by one, most of a large group would be dropped for being in another set.
    """
    groups: dict[str | int, list[Outcome]] = {}
    for number, outcome in deck:
        group = group_of(outcome) if isinstance(outcome, Pair) else number
        groups.setdefault(group, []).append((number, outcome))
    return (card for group in groups.values() for card in group)


def _fill(filled_set: FilledSet, deck: Iterator[Outcome], owners: Owners | None) -> None:
    """Draw rows until the set has its size, and enter its prompts and groups into ``owners``.

    Without these, rows are not compared with others.
    """
    for number, outcome in deck:
        filled_set.read += 1
        if isinstance(outcome, Pair) and owners is not None:
            outcome = _checked_for_repeats(outcome, filled_set, owners)
        if isinstance(outcome, MultiTurnError):
            filled_set.not_single_turn += 1
        elif isinstance(outcome, BadRowError):
            filled_set.dropped[outcome.reason] += 1
            if filled_set.dropped[outcome.reason] <= LOGGED:
                logger.warning("%s:%d: dropped: %s", location(filled_set.source), number, outcome)
        else:
            if owners is not None:
                owners.update(dict.fromkeys(_belongings(outcome), filled_set.name))
            filled_set.pairs[f"{filled_set.name}-{number:06d}"] = outcome
            filled_set.texts.add(outcome)
            if len(filled_set.pairs) == filled_set.asked:
                break
    for reason, count in filled_set.dropped.items():
        if count > LOGGED:
            logger.warning(
                "%s: dropped: %s: %d rows, of which the first %d are named above",
                *(location(filled_set.source), reason, count, LOGGED),
            )


def _checked_for_repeats(pair: Pair, filled_set: FilledSet, owners: Owners) -> Pair | BadRowError:
    name = filled_set.name
    text, *others = _belongings(pair)
    for belonging in others:
        owner = owners.get(belonging, name)
        if owner != name:
            kind, _ = belonging
            return BadRowError(ELSEWHERE[kind], f"{owner} has this {kind}")
    if text not in owners:
        return pair
    if not filled_set.source.get("repeated_prompts"):
        return BadRowError(Reason.DUPLICATE_PROMPT, f"an earlier row of {name} has this prompt")
    if pair in filled_set.texts:
        return BadRowError(Reason.DUPLICATE_PAIR, f"an earlier row of {name} is this pair")
    return pair


def _belongings(pair: Pair) -> list[tuple[str, str]]:
    """Return what only one set may have: the prompt as it is, normalised, and its group."""
    found = [("text", pair.prompt), ("prompt", prompt_group(pair.prompt))]
    return [*found, ("group", pair.group)] if pair.group else found


def _refuse_too_many_bad(
    where: str, dropped: Counter[Reason], selected: int, max_bad: float
) -> None:
    bad = dropped.total()
    if not selected or bad / selected <= max_bad:
        return
    [(commonest, count)] = dropped.most_common(1)
    raise UserError(
        f"{where}: {bad} of {selected} rows are bad ({bad / selected:.1%}), more than max_bad "
        f"{max_bad:.1%}; commonest: {commonest} ({count}). The log names the first {LOGGED} of "
        f"each reason: {FIXES.get(commonest, 'fix them')}, check the source's format and columns, "
        "or raise max_bad"
    )


def _require_pairs(where: str, filled_set: FilledSet) -> None:
    if not filled_set.pairs:
        fix = "give it a source with more rows, or ask for fewer in the sets that share it"
        if filled_set.not_single_turn == filled_set.read > 0:
            fix = "set `multi_turn: true` in the source to take dialogues of several turns"
        raise UserError(
            f"{where}: no pair left (rows read {filled_set.read}, not single-turn "
            f"{filled_set.not_single_turn}, dropped {filled_set.dropped.total()}); {fix}"
        )
    if len(filled_set.pairs) < filled_set.asked:
        found = len(filled_set.pairs)
        logger.warning("%s: %d pairs where %d were asked", where, found, filled_set.asked)
