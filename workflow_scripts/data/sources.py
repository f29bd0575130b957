"""Where raw rows come from: a data set on the hub, a local folder in hub format, or one file."""

import gzip
import json
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NotRequired, TypedDict, final

from workflow_scripts.core.errors import UserError, first_line
from workflow_scripts.data.preferences import Prefer
from workflow_scripts.data.screening import BadRowError, Reason

SourceRow = tuple[int, dict[str, Any] | BadRowError]
"""A row's 1-based place in its source, and its fields, or why they cannot be read."""

JSON_LINES = (".jsonl", ".json", ".jsonl.gz", ".json.gz")


class _Common(TypedDict):
    format: str
    columns: NotRequired[dict[str, str]]
    config: NotRequired[str]
    data_dir: NotRequired[str]
    split: NotRequired[str]
    prefer: NotRequired[Prefer]
    multi_turn: NotRequired[bool]
    repeated_prompts: NotRequired[bool]


@final
class HubSource(_Common):
    """A data set on the hub, as config.yaml names it."""

    hub: str
    revision: str


@final
class PathSource(_Common):
    """A file, or a local folder in hub format."""

    path: str


RowSource = HubSource | PathSource
"""Where the raw rows of a set come from."""


def location(source: RowSource) -> str:
    """Return what messages call ``source``: a file's path, or a data set and what of it is read."""
    if "path" in source and not Path(source["path"]).is_dir():
        return source["path"]
    name = f"{source['hub']}@{source['revision']}" if "hub" in source else source["path"]
    parts = (name, source.get("config"), source.get("data_dir"), source.get("split", "train"))
    return ":".join(part for part in parts if part)


def read_rows(source: RowSource) -> Iterator[SourceRow]:
    """Yield the rows of ``source`` in its own order, reading no further than is asked for.

    A file is JSON lines (``.jsonl`` or ``.json``, gzipped or not; blank lines are not rows, but
    they count as lines) or Parquet, and has no splits. Anything else is opened by
    ``datasets.load_dataset``; ``split`` is ``train`` unless given.

    Raises:
        UserError: if the source is missing, unreadable, or of a kind not known here.
    """
    if "hub" in source:
        return _dataset_rows(source["hub"], source)
    path = Path(source["path"])
    if path.is_dir():
        return _folder_rows(str(path), source)
    if not path.is_file():
        raise UserError(f"{path}: no such file or folder; put it there or correct `path`")
    if path.name.endswith(JSON_LINES):
        return _json_rows(path)
    if path.suffix == ".parquet":
        return _parquet_rows(path)
    raise UserError(
        f"{path}: not a kind of file read here; give {', '.join(JSON_LINES)} or .parquet"
    )


def _json_rows(path: Path) -> Iterator[SourceRow]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, _json_object(line)
    except (OSError, EOFError, zlib.error) as error:
        reason = first_line(error)
        raise UserError(f"{path}: cannot be read ({reason}); fix or replace it") from error


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


def _parquet_rows(path: Path) -> Iterator[SourceRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1000):
                for fields in batch.to_pylist():
                    number += 1
                    yield number, fields
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = first_line(error)
        raise UserError(f"{path}: cannot be read as Parquet ({reason}); replace it") from error


def _folder_rows(folder: str, source: RowSource) -> Iterator[SourceRow]:
    """Yield the rows of a local folder in hub format, of the files as they are now.

    ``datasets`` takes a file of equal size and time for the one that it has in its cache, so the
    cache is a new one each time.
    """
    from datasets import config

    caches = Path(config.HF_DATASETS_CACHE)
    caches.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="once-", dir=caches, ignore_cleanup_errors=True) as cache:
        yield from _dataset_rows(folder, source, cache)


def _dataset_rows(name: str, source: RowSource, cache: str | None = None) -> Iterator[SourceRow]:
    import datasets
    import pyarrow as pa
    from datasets.exceptions import DatasetsError

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        dataset = datasets.load_dataset(
            name,
            source.get("config"),
            data_dir=source.get("data_dir"),
            split=source.get("split", "train"),
            revision=source.get("revision"),
            cache_dir=cache,
        )
    except (OSError, ValueError, RuntimeError, pa.ArrowException, DatasetsError) as error:
        raise UserError(
            f"{location(source)}: cannot be opened as a data set "
            f"({first_line(error.__cause__ or error)}); correct its name, split or revision, "
            "or fetch it where there is a network"
        ) from error
    for number, fields in enumerate(dataset, start=1):
        yield number, dict(fields)
