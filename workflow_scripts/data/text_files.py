"""Rows of text files: JSON lines, a JSON array, and tables of comma- or tab-separated values."""

import csv
import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, cast

from workflow_scripts.core.errors import UserError, first_line
from workflow_scripts.data.screening import BadRowError, Reason

SourceRow = tuple[int, dict[str, Any] | BadRowError]
"""A row's 1-based place in its source, and its fields, or why they cannot be read."""

JSON_ARRAYS = (".json", ".json.gz")
JSON_LINES = (".jsonl", ".jsonl.gz", *JSON_ARRAYS)

UTF8_MARK = b"\xef\xbb\xbf"
MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
"""What a file of another encoding than UTF-8 begins with."""


def json_rows(path: Path) -> Iterator[SourceRow]:
    """Yield the rows of a file of JSON lines or, where it begins with a bracket, of an array.

    Raises:
        UserError: if the file cannot be read, or is of another encoding than UTF-8.
    """
    beginning = _refuse_other_encodings(path)
    if path.name.endswith(JSON_ARRAYS) and beginning.removeprefix(UTF8_MARK).lstrip()[:1] == b"[":
        yield from _array_rows(path)
        return
    try:
        with _opened(path) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, _json_object(line)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error


def _opened(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path) if path.suffix == ".gz" else path.open("rb"))


def _opened_text(path: Path) -> TextIOWrapper:
    return TextIOWrapper(_opened(path), encoding="utf-8-sig", newline="")


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: cannot be read ({first_line(error)}); fix or replace it")


def _refuse_other_encodings(path: Path) -> bytes:
    """Return how a file begins, if that may be UTF-8."""
    try:
        with _opened(path) as file:
            beginning = file.read(4096)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error
    found = next((name for mark, name in MARKS.items() if beginning.startswith(mark)), None)
    if found is None and b"\0" in beginning[:4]:
        found = "UTF-16"  # A text without a mark: JSON and headers begin with ASCII.
    if found:
        raise UserError(f"{path}: {found}, not UTF-8; convert it: iconv -f {found} -t utf-8")
    return beginning


def _json_object(line: bytes) -> dict[str, Any] | BadRowError:
    try:
        # A byte order mark is legal only at the start of a file, where editors put it.
        value = json.loads(line.decode("utf-8-sig"), object_pairs_hook=_fields)
    except UnicodeDecodeError:
        return BadRowError(Reason.NOT_UTF8, "the line is in another encoding, perhaps latin-1")
    except BadRowError as error:
        return error.with_traceback(None)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        return value
    return BadRowError(Reason.NOT_JSON, "no JSON object on this line")


def _fields(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object's fields; of equal keys, JSON would keep the last in silence."""
    fields = dict(items)
    if len(fields) < len(items):
        repeated = next(key for key, n in Counter(key for key, _ in items).items() if n > 1)
        raise BadRowError(Reason.EQUAL_KEYS, f"{repeated!r} is given more than once")
    return fields


@dataclass(frozen=True)
class _Faulty:
    """In place of an object of an array, why it cannot be used."""

    fault: BadRowError


def _kept_fields(items: list[tuple[str, Any]]) -> "dict[str, Any] | _Faulty":
    """Return the fields of an object in an array, whose other rows are read all the same."""
    values = [value for _, held in items for value in (held if isinstance(held, list) else [held])]
    faulty = next((value for value in values if isinstance(value, _Faulty)), None)
    try:
        return faulty or _fields(items)
    except BadRowError as error:
        return _Faulty(error.with_traceback(None))


def header(path: Path, separator: str) -> list[str]:
    """Return the columns of a table, all of whose text is UTF-8.

    Raises:
        UserError: if the file is of another encoding, has no columns, or two of one name.
    """
    _refuse_other_encodings(path)
    try:
        with _opened_text(path) as file:
            columns = next(csv.reader(file, delimiter=separator), [])
            for _ in file:
                pass
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not UTF-8, perhaps latin-1; convert it: iconv -f latin1 -t utf-8"
        ) from error
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise _unreadable(path, error) from error
    repeated = [column for column, n in Counter(columns).items() if n > 1]
    if repeated or not columns:
        fault = f"{repeated[0]!r} is the name of several columns" if repeated else "no columns"
        raise UserError(f"{path}: {fault}; give each column a name in the first line")
    return columns


def _array_rows(path: Path) -> Iterator[SourceRow]:
    try:
        with _opened_text(path) as file:
            rows = json.load(file, object_pairs_hook=_kept_fields)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not UTF-8, perhaps latin-1; convert it: iconv -f latin1 -t utf-8"
        ) from error
    except (ValueError, RecursionError, OSError, EOFError, zlib.error) as error:
        raise UserError(
            f"{path}: cannot be read as a JSON array ({first_line(error)}); fix or replace it"
        ) from error
    for number, row in enumerate(rows, start=1):
        if isinstance(row, _Faulty):
            row = row.fault
        elif not isinstance(row, dict):
            row = BadRowError(Reason.NOT_JSON, "no JSON object in this place")
        yield number, row
