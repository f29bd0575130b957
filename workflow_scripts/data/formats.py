r"""From a source's raw row to a preference pair, one function for each published format.

What these functions return is what a model is fed. Dialogue formats (``transcript``, ``messages``
and ``unknown_bench``) are all rendered as HH-RLHF writes a dialogue, prompt
``"\n\nHuman: {prompt}\n\nAssistant:"`` and response ``" {response}"``, so that sets of different
formats can be mixed; ``columns`` is kept verbatim. Only single-turn dialogues are used, as in the
paper (DESIGN section 1).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from workflow_scripts.data.screening import BadRowError, Pair, Reason, as_text, present, screened

HUMAN = "\n\nHuman:"
ASSISTANT = "\n\nAssistant:"

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


class MultiTurnError(Exception):
    """A dialogue with more than one human turn: it is not selected, but the row has no fault."""


@dataclass(frozen=True, slots=True)
class Format:
    """How one format's rows are read.

    Attributes:
        read: takes a row and the column that holds each field.
        required: fields that every row has; also their default column names.
        optional: fields that a row may have.
    """

    read: Callable[[Mapping[str, Any], Mapping[str, str]], Pair]
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


def pair_reader(name: str, columns: Mapping[str, str]) -> Callable[[Mapping[str, Any]], Pair]:
    """Return the function that turns a raw row into a screened, rendered pair.

    Args:
        name: a key of ``FORMATS``.
        columns: field to column, for fields whose column has another name.

    That function raises ``BadRowError`` for a row to drop, ``MultiTurnError`` for a row that is not
    selected.
    """
    fmt = FORMATS[name]
    names = {field: columns.get(field, field) for field in (*fmt.required, *fmt.optional)}
    return lambda fields: fmt.read(fields, names)


def _dialogue(prompt: str, chosen: str, rejected: str) -> Pair:
    """Screen a single-turn dialogue's bare texts, then render them as HH-RLHF does."""
    bare = screened(Pair(prompt.strip(), chosen.strip(), rejected.strip()))
    return Pair(f"{HUMAN} {bare.prompt}{ASSISTANT}", f" {bare.chosen}", f" {bare.rejected}")


def _dialogue_of_two(chosen: tuple[str, str], rejected: tuple[str, str]) -> Pair:
    """Join two (prompt, response) exchanges that must share their prompt."""
    if chosen[0].strip() != rejected[0].strip():
        raise BadRowError(Reason.PROMPTS_DIFFER, "chosen and rejected answer different prompts")
    return _dialogue(chosen[0], chosen[1], rejected[1])


def _read_transcript(fields: Mapping[str, Any], names: Mapping[str, str]) -> Pair:
    """HH-RLHF: chosen and rejected are each a whole dialogue in one string."""
    texts = [
        (name, as_text(present(fields, name), name))
        for name in (names["chosen"], names["rejected"])
    ]
    if any(text.count(HUMAN) > 1 for _, text in texts):
        raise MultiTurnError
    chosen, rejected = (_split_transcript(text, name) for name, text in texts)
    return _dialogue_of_two(chosen, rejected)


def _split_transcript(text: str, name: str) -> tuple[str, str]:
    """Return what comes before and after the last "Assistant:", as HH-RLHF means its pairs.

    So a response that runs on into another "Assistant:" has another prompt than its partner.
    """
    before, human, dialogue = text.partition(HUMAN)
    prompt, assistant, response = dialogue.rpartition(ASSISTANT)
    if before.strip() or not human or not assistant:
        raise BadRowError(Reason.MISSING_FIELD, f"{name} is not {HUMAN!r} … {ASSISTANT!r} … text")
    return prompt, response


def _read_messages(fields: Mapping[str, Any], names: Mapping[str, str]) -> Pair:
    """CAI: chosen and rejected are lists of ``{role, content}``, the prompt being the user's."""
    lists = [
        (name, _messages(present(fields, name), name))
        for name in (names["chosen"], names["rejected"])
    ]
    if any([role for role, _ in turns].count("user") > 1 for _, turns in lists):
        raise MultiTurnError
    chosen, rejected = (_split_messages(turns, name) for name, turns in lists)
    return _dialogue_of_two(chosen, rejected)


def _messages(value: Any, name: str) -> list[tuple[str, str]]:
    """Return a message list as (role, text) pairs."""
    if not isinstance(value, list) or not all(isinstance(turn, Mapping) for turn in value):
        raise BadRowError(Reason.NOT_TEXT, f"{name} is not a list of messages")
    return [
        (
            as_text(present(turn, "role"), f"a role in {name}"),
            as_text(present(turn, "content"), f"a content in {name}"),
        )
        for turn in value
    ]


def _split_messages(turns: list[tuple[str, str]], name: str) -> tuple[str, str]:
    """Return prompt and response of a list that is one user turn and one assistant turn."""
    roles = [role for role, _ in turns]
    if roles != ["user", "assistant"]:
        found = ", ".join(roles) or "no turns"
        raise BadRowError(Reason.MISSING_FIELD, f"{name} has {found}; wanted user, assistant")
    return turns[0][1], turns[1][1]


def _read_columns(fields: Mapping[str, Any], names: Mapping[str, str]) -> Pair:
    """Any preference set of three plain text columns, kept verbatim."""
    prompt, chosen, rejected = (
        as_text(present(fields, names[field]), names[field])
        for field in ("prompt", "chosen", "rejected")
    )
    return screened(Pair(prompt, chosen, rejected))


def _read_unknown_bench(fields: Mapping[str, Any], names: Mapping[str, str]) -> Pair:
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
    return _dialogue(prompt, chosen, rejected)


def _label(value: Any, name: str) -> tuple[bool, str | None]:
    """Return whether the question is unanswerable, and its first true answer where listed.

    UnknownBench writes 1 and 0, but RefuNQ's answerable file lists the accepted answers instead.
    """
    if isinstance(value, list) and value:
        return False, as_text(value[0], name)
    if value in (0, 1):
        return bool(value), None
    raise BadRowError(
        Reason.MISSING_FIELD, f"{name} is neither 1 (unanswerable), 0 nor a list of answers"
    )


FORMATS = {
    "transcript": Format(_read_transcript, ("chosen", "rejected")),
    "messages": Format(_read_messages, ("chosen", "rejected")),
    "columns": Format(_read_columns, ("prompt", "chosen", "rejected")),
    "unknown_bench": Format(_read_unknown_bench, ("prompt", "label"), ("admission", "answer")),
}
"""Every format by its name in config.yaml."""
