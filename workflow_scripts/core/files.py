"""Read and write JSON and tables: the same content as the same bytes."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.core.atomic import atomic_path
from workflow_scripts.core.errors import UserError, first_line

if TYPE_CHECKING:
    import pyarrow as pa

FIX_BROKEN = "; delete it and run again"
"""How messages about a broken file end."""


def canonical_json(value: Any) -> str:
    """Return the one spelling of ``value`` as JSON: sorted keys, no spaces.

    Raises:
        ValueError: if a number is NaN or infinite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def write_json(path: Path | str, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys.

    Raises:
        ValueError: if a number is NaN or infinite.
    """
    text = json.dumps(value, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False)
    with atomic_path(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path | str) -> Any:
    """Return the content of a JSON file.

    Raises:
        UserError: if it is missing or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, "JSON", error) from error


def sha256_of(path: Path | str) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits.

    Raises:
        OSError: if it is missing or unreadable.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_table(path: Path | str, table: "pa.Table") -> None:
    """Write an Arrow table as Parquet."""
    import pyarrow.parquet as pq

    with atomic_path(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def columns_of(path: Path | str) -> list[str]:
    """Return the names of a Parquet file's columns.

    Raises:
        UserError: if it is missing or unreadable.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(path).names
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, "a table", error) from error


def read_table(path: Path | str, columns: list[str]) -> "pa.Table":
    """Return the named columns of a Parquet file.

    Raises:
        UserError: if it is missing, unreadable or lacks one of ``columns``.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Unlike read_table, this imports neither pyarrow.dataset nor, through it, pandas.
        return pq.ParquetFile(path).read(columns=columns).select(columns)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise _unreadable(path, f"a table of {', '.join(columns)}", error) from error


def _unreadable(path: Path | str, what: str, error: Exception) -> UserError:
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path}: is missing; correct the path, or run what makes this file first")
    return UserError(f"{path}: cannot be read as {what} ({first_line(error)}){FIX_BROKEN}")
