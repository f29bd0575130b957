"""Names that become parts of paths."""

import re
from typing import Annotated

from pydantic import AfterValidator

NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]*"


def _checked_name(name: str) -> str:
    if not re.fullmatch(NAME, name):
        raise ValueError(
            f"{name!r} becomes a path, so it may hold only letters, digits, '.', '_' and '-', "
            "and must not begin with '.' or '-'"
        )
    return name


Name = Annotated[str, AfterValidator(_checked_name)]
"""A name in the configuration that is checked when it is read."""
