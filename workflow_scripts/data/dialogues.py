r"""From a row that holds dialogues to a pair, rendered as HH-RLHF writes them.

The prompt is everything up to the last assistant turn, ``"\n\nHuman: {text}\n\nAssistant:"`` and so
on, after the text of a system message where there is one; the response is ``" {text}"``. The paper
uses single-turn dialogues only (docs/method.md), so others are taken only where that is asked.
"""

from collections.abc import Mapping, Sequence
from typing import Any

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

HUMAN = "\n\nHuman:"
ASSISTANT = "\n\nAssistant:"

ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant"}
"""Roles that ShareGPT and its kin call by other names."""

Turn = tuple[str, str]
"""A role and a text."""


class MultiTurnError(Exception):
    """A dialogue with more than one human turn: it is not selected, but the row has no fault."""


def dialogue(prompt: str, chosen: str, rejected: str, *, system: str = "") -> Pair:
    """Screen a dialogue's bare texts, then render them as HH-RLHF does."""
    bare = Pair(prompt.strip(), chosen.strip(), rejected.strip())
    opening = f"{system.strip()}{HUMAN} {bare.prompt}{ASSISTANT}"
    rendered = Pair(opening, f" {bare.chosen}", f" {bare.rejected}")
    try:
        screened(bare)
    except UselessPairError as useless:
        raise UselessPairError(useless.reason, useless.detail, rendered) from None
    return rendered


def turns_of(prompt: str) -> list[Turn]:
    """Return the turns of a rendered prompt: its roles are system, user and assistant.

    Any other text is one turn of the user.
    """
    system, human, spoken = prompt.removesuffix(ASSISTANT).partition(HUMAN)
    if not human or not prompt.endswith(ASSISTANT):
        return [("user", prompt)]
    turns = [("system", system)] if system.strip() else []
    for said in spoken.split(HUMAN):
        asked, *answers = said.split(ASSISTANT)
        turns += [("user", asked.strip()), *(("assistant", text.strip()) for text in answers)]
    roles = [role for role, _ in turns if role != "system"]
    alternating = roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
    return turns if alternating else [("user", prompt)]


def read_transcript(fields: Mapping[str, Any], names: Mapping[str, str], multi_turn: bool) -> Pair:
    """HH-RLHF: chosen and rejected are each a whole dialogue in one string."""
    texts = [
        (name, as_text(present(fields, name), name))
        for name in (names["chosen"], names["rejected"])
    ]
    if not multi_turn and any(text.count(HUMAN) > 1 for _, text in texts):
        raise MultiTurnError
    chosen, rejected = (_split_transcript(text, name) for name, text in texts)
    _require_same_prompt(chosen[0].strip() == rejected[0].strip())
    return dialogue(chosen[0], chosen[1], rejected[1])


def _split_transcript(text: str, name: str) -> tuple[str, str]:
    """Return what comes before and after the last "Assistant:", as HH-RLHF means its pairs.

    So a response that runs on into another "Assistant:" has another prompt than its partner.
    """
    before, human, said = text.partition(HUMAN)
    prompt, assistant, response = said.rpartition(ASSISTANT)
    if before.strip() or not human or not assistant:
        raise BadRowError(Reason.MISSING_FIELD, f"{name} is not {HUMAN!r} … {ASSISTANT!r} … text")
    if HUMAN in response:
        raise BadRowError(Reason.MISSING_FIELD, f"{name} ends with the human's turn")
    return prompt, response


def _require_same_prompt(same: bool) -> None:
    if not same:
        raise BadRowError(Reason.PROMPTS_DIFFER, "chosen and rejected answer different prompts")


def read_messages(fields: Mapping[str, Any], names: Mapping[str, str], multi_turn: bool) -> Pair:
    """CAI and TRL: chosen and rejected are whole lists of messages, or the answers to a prompt."""
    return _read_lists(fields, names, names["prompt"], multi_turn)


def read_sharegpt(fields: Mapping[str, Any], names: Mapping[str, str], multi_turn: bool) -> Pair:
    """ShareGPT: chosen and rejected are the turns, ``{from, value}``, that answer conversations."""
    return _read_lists(fields, names, names["conversations"], multi_turn)


def _read_lists(
    fields: Mapping[str, Any], names: Mapping[str, str], prompt: str, multi_turn: bool
) -> Pair:
    lists = [
        (name, _whole(fields, prompt, present(fields, name), name))
        for name in (names["chosen"], names["rejected"])
    ]
    if not multi_turn and any([role for role, _ in turns].count("user") > 1 for _, turns in lists):
        raise MultiTurnError
    chosen, rejected = (_split_turns(turns, name) for name, turns in lists)
    _require_same_prompt(chosen[:2] == rejected[:2])
    system, opening, response = chosen
    return dialogue(opening, response, rejected[2], system=system)


def _whole(fields: Mapping[str, Any], prompt: str, value: Any, name: str) -> list[Turn]:
    """Return all turns of a dialogue, of which ``prompt`` may hold all but the last."""
    if isinstance(value, str) and isinstance(fields.get(prompt), list):
        value = {"role": "assistant", "content": value}
    turns = _turns(value, name)
    if not turns or turns[0][0] != "assistant" or fields.get(prompt) is None:
        return turns
    opening = fields[prompt]
    if isinstance(opening, str):
        opening = {"role": "user", "content": opening}
    return _turns(opening, prompt) + turns


def _turns(value: Any, name: str) -> list[Turn]:
    """Return a message, or a list of messages, as (role, text) pairs."""
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(turn, Mapping) for turn in value):
        raise BadRowError(Reason.NOT_TEXT, f"{name} is not a list of messages")
    return [_turn(turn, name) for turn in value]


def _turn(turn: Mapping[str, Any], name: str) -> Turn:
    keys = ("from", "value") if "from" in turn else ("role", "content")
    role, text = (as_text(present(turn, key), f"a {key} in {name}") for key in keys)
    return ROLES.get(role, role), text


def _split_turns(turns: Sequence[Turn], name: str) -> tuple[str, str, str]:
    """Return the system's text, the prompt and the response of user and assistant in turn."""
    roles = [role for role, _ in turns]
    texts = [text.strip() for _, text in turns]
    system = texts.pop(0) if roles[:1] == ["system"] else ""
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    if not spoken or spoken != ["user", "assistant"] * (len(spoken) // 2):
        found = ", ".join(roles) or "no turns"
        raise BadRowError(Reason.MISSING_FIELD, f"{name} has {found}; wanted user, assistant")
    *asked, response = texts
    if not all(map(visible, asked)):
        raise BadRowError(Reason.BLANK_PROMPT, f"{name} has a turn without a visible character")
    prompt = asked[0] + "".join(
        f"{ASSISTANT if i % 2 else HUMAN} {text}" for i, text in enumerate(asked[1:], start=1)
    )
    return system, prompt, response
