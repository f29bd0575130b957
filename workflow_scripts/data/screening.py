"""What makes a row of a preference set usable, and the name of every reason why one is dropped."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Reason(StrEnum):
    """Why a row is dropped; the spelling is that of ``report.json`` and of the log."""

    NOT_JSON = "not_json"
    NOT_UTF8 = "not_utf8"
    EQUAL_KEYS = "equal_keys"
    TIE = "tie"
    MISSING_FIELD = "missing_field"
    NOT_TEXT = "not_text"
    BLANK_PROMPT = "blank_prompt"
    PROMPTS_DIFFER = "prompts_differ"
    BLANK_RESPONSE = "blank_response"
    SAME_RESPONSE = "same_response"
    DUPLICATE_PROMPT = "duplicate_prompt"
    DUPLICATE_PAIR = "duplicate_pair"
    PROMPT_IN_OTHER_SET = "prompt_in_other_set"
    GROUP_IN_OTHER_SET = "group_in_other_set"


REPEATS = frozenset(
    {
        Reason.DUPLICATE_PROMPT,
        Reason.DUPLICATE_PAIR,
        Reason.PROMPT_IN_OTHER_SET,
        Reason.GROUP_IN_OTHER_SET,
    }
)
"""Reasons that lie between rows; all others are faults of the row itself."""


FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Characters that show nothing, though Unicode counts them as letters, marks or symbols."""


NO_FAULTS = frozenset({Reason.TIE})
"""Reasons that are no fault at all: the row says that neither response is better."""


GROUP = "group"
"""The column of a pair's group, in the sets of pairs and in those of a generated world."""


class BadRowError(Exception):
    """A row that cannot be used: the reason, and a detail for the log that quotes no text of it."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """Keep ``reason`` and ``detail``, both shown by ``str``."""
        super().__init__(f"{reason} ({detail})")
        self.reason = reason
        self.detail = detail


class UselessPairError(BadRowError):
    """A row that is a pair, from which no preference can be learned; it can be scored."""

    def __init__(self, reason: Reason, detail: str, pair: "Pair") -> None:
        """Keep the pair, too."""
        super().__init__(reason, detail)
        self.pair = pair


@dataclass(frozen=True, slots=True)
class Pair:
    """One preference: ``chosen`` is the truly better response to ``prompt``."""

    prompt: str
    chosen: str
    rejected: str
    first_preferred: bool = field(default=True, compare=False)
    """Whether the row has the chosen response first; for the account alone."""
    group: str = field(default="", compare=False)
    """What it is about, where its source says so; empty elsewhere (``data.groups``)."""


def present(fields: Mapping[str, Any], column: str) -> Any:
    """Return a row's value in ``column``.

    Raises:
        BadRowError: ``missing_field`` if the row has none, or null; it names the row's columns.
    """
    value = fields.get(column)
    if value is None:
        found = ", ".join(fields) or "nothing"
        raise BadRowError(Reason.MISSING_FIELD, f"no {column}; the row has {found}")
    return value


def as_text(value: Any, name: str) -> str:
    """Return ``value`` if it is text that UTF-8 can hold; ``name`` is what the log calls it.

    Raises:
        BadRowError: ``not_text`` for another type, and for a lone surrogate, which JSON's escapes
            can spell but no file or tokenizer takes.
    """
    if not isinstance(value, str):
        raise BadRowError(Reason.NOT_TEXT, f"{name} is of type {type(value).__name__}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRowError(Reason.NOT_TEXT, f"{name} holds a lone surrogate") from error
    return value


def visible(text: str) -> str:
    """Return ``text`` as a reader sees it: composed (NFC), without what shows nothing.

    That is format and control characters (zero-width spaces, joiners, marks of direction),
    variation selectors and fillers, and surrounding white space.
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    return "".join(filter(_shows, unicodedata.normalize("NFC", text))).strip()


def _shows(character: str) -> bool:
    if character in FILLERS or "\ufe00" <= character <= "\ufe0f" or character >= "\U000e0000":
        return False
    return character.isspace() or unicodedata.category(character) not in {"Cf", "Cc"}


def screened(pair: Pair) -> Pair:
    """Return ``pair`` if a preference can be learned from it.

    Raises:
        BadRowError: ``blank_prompt``, ``blank_response``, or ``same_response`` where chosen and
            rejected differ at most in what a reader does not see: surrounding white space,
            invisible characters, Unicode normal form.
    """
    if not visible(pair.prompt):
        raise BadRowError(Reason.BLANK_PROMPT, "the prompt has no visible character")
    responses = {"chosen": visible(pair.chosen), "rejected": visible(pair.rejected)}
    for name, response in responses.items():
        if not response:
            detail = f"{name} has no visible character"
            raise UselessPairError(Reason.BLANK_RESPONSE, detail, pair)
    if responses["chosen"] == responses["rejected"]:
        detail = "chosen and rejected look the same"
        raise UselessPairError(Reason.SAME_RESPONSE, detail, pair)
    return pair
