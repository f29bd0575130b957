"""What makes a row of a preference set usable, and the name of every reason why one is dropped."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Reason(StrEnum):
    """Why a row is dropped; the spelling is that of ``report.json`` and of the log."""

    NOT_JSON = "not_json"
    MISSING_FIELD = "missing_field"
    NOT_TEXT = "not_text"
    BLANK_PROMPT = "blank_prompt"
    PROMPTS_DIFFER = "prompts_differ"
    BLANK_RESPONSE = "blank_response"
    SAME_RESPONSE = "same_response"
    DUPLICATE_PROMPT = "duplicate_prompt"
    PROMPT_IN_OTHER_SET = "prompt_in_other_set"


REPEATS = frozenset({Reason.DUPLICATE_PROMPT, Reason.PROMPT_IN_OTHER_SET})
"""Reasons that lie between rows; all others are faults of the row itself."""


class BadRowError(Exception):
    """A row that cannot be used: the reason, and a detail for the log that quotes no text of it."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """Keep ``reason`` and ``detail``, both shown by ``str``."""
        super().__init__(f"{reason} ({detail})")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Pair:
    """One preference: ``chosen`` is the truly better response to ``prompt``."""

    prompt: str
    chosen: str
    rejected: str


def present(fields: Mapping[str, Any], column: str) -> Any:
    """Return a row's value in ``column``.

    Raises:
        BadRowError: ``missing_field`` if the row has none, or null.
    """
    value = fields.get(column)
    if value is None:
        raise BadRowError(Reason.MISSING_FIELD, f"no {column}")
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


def screened(pair: Pair) -> Pair:
    """Return ``pair`` if a preference can be learned from it.

    Raises:
        BadRowError: ``blank_prompt``, ``blank_response``, or ``same_response`` where chosen and
            rejected differ in surrounding white space at most.
    """
    if not pair.prompt.strip():
        raise BadRowError(Reason.BLANK_PROMPT, "the prompt is white space only")
    responses = {"chosen": pair.chosen.strip(), "rejected": pair.rejected.strip()}
    for name, response in responses.items():
        if not response:
            raise BadRowError(Reason.BLANK_RESPONSE, f"{name} is white space only")
    if responses["chosen"] == responses["rejected"]:
        raise BadRowError(Reason.SAME_RESPONSE, "chosen and rejected are the same text")
    return pair
