"""Which of a row's two responses is better, where a column says so and not their order."""

import math
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from workflow_scripts.data.screening import BadRowError, Reason, present

RESPONSES = {"chosen": "response_0", "rejected": "response_1"}
"""What the fields of a format are called where a column says which response is better."""

TIES = frozenset({-1, "-1", "tie", "equal", "none", ""})


class Prefer(TypedDict):
    """A column that names the better response, or the columns of the two responses' scores."""

    column: NotRequired[str]
    scores: NotRequired[dict[str, str]]


def in_order(fields: Mapping[str, Any], names: Mapping[str, str], prefer: Prefer) -> dict[str, str]:
    """Return the column of each field with ``chosen`` as the preferred response.

    Args:
        fields: a row.
        names: the column of each field, ``response_0`` and ``response_1`` among them.
        prefer: what says which of the two is better.

    Raises:
        BadRowError: ``tie`` where neither is, ``missing_field`` where the row does not say.
    """
    first, second = (names[response] for response in RESPONSES.values())
    if "column" in prefer:
        better = _named(fields, prefer["column"], (first, second))
    else:
        scores = prefer.get("scores", {})
        better = _higher(*(_score(fields, scores[r]) for r in RESPONSES.values()))
    if better is None:
        raise BadRowError(Reason.TIE, "neither response is preferred")
    chosen, rejected = (second, first) if better else (first, second)
    return {**names, "chosen": chosen, "rejected": rejected}


def _named(fields: Mapping[str, Any], column: str, columns: tuple[str, str]) -> int | None:
    """Return 0 or 1 as the row's ``column`` says, or None for a tie."""
    if column not in fields:
        present(fields, column)
    value = fields[column]
    if value is None or value != value or (isinstance(value, str) and value.lower() in TIES):
        return None
    for number, names in enumerate(zip(columns, RESPONSES.values(), strict=True)):
        if not isinstance(value, bool) and value in (number, str(number), *names):
            return number
    if not isinstance(value, bool) and value == -1:
        return None
    raise BadRowError(
        Reason.MISSING_FIELD,
        f"{column} is neither 0, 1, {' nor '.join(columns)}, nor null or -1 for a tie",
    )


def _score(fields: Mapping[str, Any], column: str) -> float:
    try:
        score = float(present(fields, column))
    except (TypeError, ValueError):
        score = math.nan
    if math.isnan(score):
        raise BadRowError(Reason.MISSING_FIELD, f"{column} is no number")
    return score


def _higher(first: float, second: float) -> int | None:
    return None if first == second else int(second > first)
