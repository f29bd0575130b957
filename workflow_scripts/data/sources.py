"""Where raw rows come from: the hub, a local folder, or one file."""

import re
import sys
from collections.abc import Iterable, Iterator
from glob import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, final

from workflow_scripts.core import hub_requests
from workflow_scripts.core.errors import UserError, first_line
from workflow_scripts.data.preferences import Prefer
from workflow_scripts.data.text_files import JSON_LINES, SourceRow, header, json_rows

if TYPE_CHECKING:
    from datasets import Dataset

TABLES = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}
"""Kinds of table, with what separates their columns."""
_GET_IT = "check the network, or get it where there is one and name the copy as `path`"


class _Common(TypedDict):
    format: str
    columns: NotRequired[dict[str, str]]
    config: NotRequired[str]
    data_dir: NotRequired[str]
    split: NotRequired[str]
    prefer: NotRequired[Prefer]
    multi_turn: NotRequired[bool]
    repeated_prompts: NotRequired[bool]
    group: NotRequired[str]


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

    A file is JSON lines (blank lines are not rows, but they count as lines), a JSON array, a table
    of comma- or tab-separated values, all of whose values are text (each gzipped or not), or
    Parquet, and has no splits. A folder is in hub format, or was made by ``save_to_disk``. Tables,
    folders and the hub are read by ``datasets``; ``split`` is ``train`` unless given.

    Raises:
        UserError: if the source is missing, unreadable, or of a kind not known here.
    """
    if "hub" in source:
        return _hub_rows(source)
    path = Path(source["path"])
    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        return _saved_rows(path, source)
    if path.is_dir():
        return _folder_rows(str(path), source)
    if not path.is_file():
        raise UserError(f"{path}: no such file or folder; put it there or correct `path`")
    if path.name.endswith(JSON_LINES):
        return json_rows(path)
    if table := next((kind for kind in TABLES if path.name.endswith(kind)), None):
        return _table_rows(path, TABLES[table], source)
    if path.suffix == ".parquet":
        return _parquet_rows(path)
    raise UserError(
        f"{path}: not a kind of file read here; give {', '.join([*JSON_LINES, *TABLES])} or "
        ".parquet"
    )


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


def _saved_rows(path: Path, source: RowSource) -> Iterator[SourceRow]:
    """Yield the rows of a folder that ``save_to_disk`` made."""
    import datasets
    import pyarrow as pa

    try:
        saved = datasets.load_from_disk(str(path))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise UserError(
            f"{path}: cannot be opened as what save_to_disk made ({first_line(error)}); save it "
            "again"
        ) from error
    if isinstance(saved, datasets.DatasetDict):
        split = source.get("split", "train")
        if split not in saved:
            raise UserError(
                f"{path}: no split {split!r}; set `split` to one of {', '.join(map(str, saved))}"
            )
        saved = saved[split]
    yield from _numbered(saved)


def _table_rows(path: Path, separator: str, source: RowSource) -> Iterator[SourceRow]:
    """Yield the rows of a table, all of whose values are text: what looks like a number, too."""
    from datasets import Features, Value

    options = {
        "data_files": escape(str(path)),
        "sep": separator,
        "keep_default_na": False,
        "features": Features({column: Value("string") for column in header(path, separator)}),
        "split": "train",
    }
    yield from _fresh_rows("csv", source, options)


def _folder_rows(folder: str, source: RowSource) -> Iterator[SourceRow]:
    """Yield the rows of a local folder in hub format."""
    return _fresh_rows(folder, source, _selection(source))


def _fresh_rows(name: str, source: RowSource, options: dict[str, Any]) -> Iterator[SourceRow]:
    """Yield rows of local files as they are now.

    ``datasets`` takes a file of equal size and time for the one that it has in its cache, so the
    cache is a new one each time.
    """
    from datasets import config

    caches = Path(config.HF_DATASETS_CACHE)
    caches.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="once-", dir=caches, ignore_cleanup_errors=True) as cache:
        yield from _numbered(_opened(name, source, {**options, "cache_dir": cache}))


def _hub_rows(source: HubSource) -> Iterator[SourceRow]:
    hub_requests.bound()
    revision = source["revision"]
    rows = _opened(source["hub"], source, {**_selection(source), "revision": revision})
    # Where the hub does not answer, datasets takes the newest commit that it has in its cache.
    commits = {Path(file["filename"]).parent.name for file in rows.cache_files}
    if re.fullmatch("[0-9a-f]{40}", revision) and commits - {revision}:
        raise UserError(
            f"{location(source)}: `hub` cannot be reached, and the cache holds another commit "
            f"({', '.join(sorted(commits))}); {_GET_IT}"
        )
    yield from _numbered(rows)


def _selection(source: RowSource) -> dict[str, Any]:
    """Return what of a data set is read, as ``load_dataset`` calls it."""
    return {
        "name": source.get("config"),
        "data_dir": source.get("data_dir"),
        "split": source.get("split", "train"),
    }


def _numbered(dataset: Iterable[Any]) -> Iterator[SourceRow]:
    for number, fields in enumerate(dataset, start=1):
        yield number, dict(fields)


def _opened(name: str, source: RowSource, options: dict[str, Any]) -> "Dataset":
    import datasets
    import pyarrow as pa
    from datasets.exceptions import DatasetsError
    from huggingface_hub.utils import httpx

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(name, **options)
    except (ConnectionError, httpx.RequestError) as error:
        raise UserError(
            f"{location(source)}: `hub` cannot be reached ({first_line(error)}); {_GET_IT}"
        ) from error
    except (OSError, ValueError, RuntimeError, pa.ArrowException, DatasetsError) as error:
        if "Config name is missing" in str(error):
            found = datasets.get_dataset_config_names(name, revision=options.get("revision"))
            raise UserError(
                f"{location(source)}: several configurations; name one of {', '.join(found)} as "
                "the source's `config`"
            ) from error
        fix = "correct its name, split or revision, or fetch it where there is a network"
        if "data_files" in options:
            fix = "fix or replace it"
        raise UserError(
            f"{location(source)}: cannot be opened as a data set "
            f"({first_line(error.__cause__ or error)}); {fix}"
        ) from error
