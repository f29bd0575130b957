"""What the sections of ``config.yaml`` share."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from workflow_scripts.core.names import NAME

CHANGES_NO_RESULT = "checks the configuration, whose values are in the rules' slices"


def _checked_hub_id(name: str) -> str:
    if not re.fullmatch(rf"({NAME}/)?{NAME}", name):
        raise ValueError(f"{name!r} is not a hub id; write owner/name")
    return name


HubId = Annotated[
    str,
    AfterValidator(_checked_hub_id),
    Field(json_schema_extra={"pattern": rf"^({NAME}/)?{NAME}$"}),
]
Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(gt=0, le=10**12)]
"""A number of things; more than this is a slip of the keyboard."""


def _checked_folder(path: str) -> str:
    if any(sign in path for sign in "{}\0"):
        raise ValueError(f"{path!r} is no path that can be used; it has {{, }} or NUL")
    return path


def _checked_path(path: str) -> str:
    if not path.strip():
        raise ValueError(f"{path!r} is no path; name a file or a folder")
    return _checked_folder(path)


Folder = Annotated[str, AfterValidator(_checked_folder)]
"""A folder; an empty one is the working directory."""
LocalPath = Annotated[str, AfterValidator(_checked_path)]
"""A file or folder: no empty one, and no braces, which Snakemake takes for wildcards."""


class Settings(BaseModel):
    """The base of every section: no unknown keys, no change after reading.

    A string below a field is its description in config.schema.json.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


def exactly_one(section: BaseModel, *keys: str) -> None:
    """Check that a section gives one of ``keys``.

    Raises:
        ValueError: if it gives none, or several.
    """
    given = [key for key in keys if getattr(section, key) is not None]
    if len(given) != 1:
        raise ValueError(
            f"give exactly one of {', '.join(f'`{key}`' for key in keys)}; "
            f"found {' and '.join(f'`{key}`' for key in given) or 'none'}"
        )
