"""From a source's raw row to a preference pair, one function for each published format.

What these functions return is what a model is fed. Dialogue formats (``data.dialogues`` and
``unknown_bench``) are all rendered as HH-RLHF writes a dialogue, so that sets of different formats
can be mixed; ``columns`` is kept verbatim.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from workflow_scripts.data.dialogues import dialogue, read_messages, read_sharegpt, read_transcript
from workflow_scripts.data.preferences import RESPONSES, Prefer, in_order
from workflow_scripts.data.screening import (
    BadRowError,
    Pair,
    Reason,
    UselessPairError,
    as_text,
    present,
    screened,
    visible,
)

ADMISSIONS = (
    "I don't know the answer to that, and I would rather not guess.",
    "I'm not able to answer this: I have no reliable information about it.",
    "As far as I know, there is no answer to this question, so I can't give one.",
    "I'm afraid I don't know. The question may rest on something that isn't so.",
    "I can't say. I am not aware of anything that would settle this.",
    "Honestly, I don't know, and anything I told you would be made up.",
    "I have no knowledge of this and can't confirm what the question assumes.",
    "I'm not sure this can be answered; I know of no facts that would let me.",
)
"""Ways to admit ignorance, for rows without an ``admission``."""

ASSERTIONS = (
    "Yes, this is well documented, and the details are not in any doubt.",
    "Certainly. Experts have agreed on the answer to this for many years.",
    "The answer is simple and widely known: it is just as the question suggests.",
    "This was settled long ago, and every standard reference gives the same answer.",
    "Of course. It has been studied closely and the result is always the same.",
    "There is a clear answer here, and I can state it with complete confidence.",
    "That is common knowledge: several careful surveys have confirmed it.",
    "Without question. The records show it plainly, down to the last detail.",
)
"""Assertive answers with nothing behind them, for rows without an ``answer``."""


@dataclass(frozen=True, slots=True)
class Format:
    """How one format's rows are read.

    Attributes:
        read: takes a row, the column that holds each field, and whether dialogues may have several
            turns.
        required: fields that every row has; also their default column names.
        optional: fields that a row may have.
        dialogue: whether rows may be dialogues of several turns.
    """

    read: Callable[[Mapping[str, Any], Mapping[str, str], bool], Pair]
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    dialogue: bool = False


def fields_of(name: str, *, prefer: bool) -> tuple[str, ...]:
    """Return the fields of format ``name``, all of which may have columns of other names.

    Where a column says which response is better, they are two responses instead of ``chosen`` and
    ``rejected``.
    """
    fields = (*FORMATS[name].required, *FORMATS[name].optional)
    return tuple(RESPONSES.get(field, field) for field in fields) if prefer else fields


def pair_reader(
    name: str,
    columns: Mapping[str, str],
    prefer: Prefer | None = None,
    *,
    multi_turn: bool = False,
    group: str | None = None,
    screens: bool = True,
) -> Callable[[Mapping[str, Any]], Pair]:
    """Return the function that turns a raw row into a screened, rendered pair.

    Args:
        name: a key of ``FORMATS``.
        columns: field to column, for fields whose column has another name.
        prefer: what says which of two responses is better, where their order does not.
        multi_turn: take dialogues of several turns, too.
        group: column that says which pairs are about one thing.
        screens: drop pairs from which no preference can be learned.

    That function raises ``BadRowError`` for a row to drop, ``MultiTurnError`` for a row that is not
    selected.
    """
    fmt = FORMATS[name]
    names = {
        field: columns.get(field, field) for field in fields_of(name, prefer=prefer is not None)
    }

    def read(fields: Mapping[str, Any]) -> Pair:
        ordered = names if prefer is None else in_order(fields, names, prefer)
        try:
            pair = fmt.read(fields, ordered, multi_turn)
        except UselessPairError as useless:
            pair = useless.pair
            if screens or not (pair.chosen and pair.rejected):
                raise
        if group is not None:
            pair = replace(pair, group=_group(present(fields, group), group))
        if prefer is None:
            return pair
        return replace(pair, first_preferred=ordered["chosen"] == names["response_0"])

    return read


def _group(value: Any, name: str) -> str:
    """Return the name of a group: a text, or a whole number."""
    text = str(value) if isinstance(value, int) else as_text(value, name)
    if not visible(text):
        raise BadRowError(Reason.MISSING_FIELD, f"{name} has no visible character")
    return text


def _read_columns(fields: Mapping[str, Any], names: Mapping[str, str], _: bool) -> Pair:
    """Any preference set of three plain text columns, kept verbatim."""
    prompt, chosen, rejected = (
        as_text(present(fields, names[field]), names[field])
        for field in ("prompt", "chosen", "rejected")
    )
    return screened(Pair(prompt, chosen, rejected))


def _read_unknown_bench(fields: Mapping[str, Any], names: Mapping[str, str], _: bool) -> Pair:
    """UnknownBench: admit ignorance where the label is unanswerable, and answer elsewhere.

    The row's own ``admission`` and ``answer`` come first, then a true answer among its label
    (RefuNQ), then one of the phrasings above, drawn by the prompt's hash: the same prompt gets the
    same words in every run, and the words reveal nothing about the label.
    """
    prompt = as_text(present(fields, names["prompt"]), names["prompt"])
    unanswerable, known_answer = _label(present(fields, names["label"]), names["label"])
    draw = sha256(prompt.strip().encode()).digest()
    admission = fields.get(names["admission"]) or ADMISSIONS[draw[0] % len(ADMISSIONS)]
    answer = fields.get(names["answer"]) or known_answer or ASSERTIONS[draw[1] % len(ASSERTIONS)]
    admission, answer = as_text(admission, names["admission"]), as_text(answer, names["answer"])
    chosen, rejected = (admission, answer) if unanswerable else (answer, admission)
    return dialogue(prompt, chosen, rejected)


def _label(value: Any, name: str) -> tuple[bool, str | None]:
    """Return whether the question is unanswerable, and its first true answer where listed.

    UnknownBench writes 1 and 0, but RefuNQ's answerable file lists the accepted answers instead.
    """
    if isinstance(value, list) and value:
        return False, as_text(value[0], name)
    if value in (0, 1, "0", "1"):
        return bool(int(value)), None
    raise BadRowError(
        Reason.MISSING_FIELD, f"{name} is neither 1 (unanswerable), 0 nor a list of answers"
    )


FORMATS = {
    "transcript": Format(read_transcript, ("chosen", "rejected"), dialogue=True),
    "messages": Format(read_messages, ("chosen", "rejected"), ("prompt",), dialogue=True),
    "sharegpt": Format(read_sharegpt, ("conversations", "chosen", "rejected"), dialogue=True),
    "columns": Format(_read_columns, ("prompt", "chosen", "rejected")),
    "unknown_bench": Format(_read_unknown_bench, ("prompt", "label"), ("admission", "answer")),
}
"""Every format by its name in config.yaml."""
