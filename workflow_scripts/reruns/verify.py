"""Whether everything in ``results/`` is what its record says.

Each artefact is hashed again, opened as its readers open it, and its parents are compared with the
ones it was made from.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from rich.progress import track

from workflow_scripts.config import paths
from workflow_scripts.core.errors import UserError, first_line
from workflow_scripts.core.files import FIX_BROKEN, read_json, read_table
from workflow_scripts.measures.probe_file import read_margins, read_probe
from workflow_scripts.reruns import provenance
from workflow_scripts.reruns.provenance import RECORDS, RESULTS, VERSIONS

SET_ASIDE = RESULTS / ".set_aside"
UNRECORDED = ("benchmarks", "logs", "tensorboard")
"""Folders that describe a run and are no results of it."""
_LABELS = ["id", "margin", "probability", "label", "true_label"]
_REFERENCE = ["id", "chosen", "rejected"]
COLUMNS = {
    paths.PAIRS: ["id", "prompt", "chosen", "rejected"],
    **dict.fromkeys((paths.WEAK_LABELS, paths.STUDENT_LABELS), _LABELS),
    **dict.fromkeys(
        (paths.SFT_REFERENCE, paths.STUDENT_REFERENCE, paths.LABELLING_REFERENCE), _REFERENCE
    ),
}
"""Columns of tables, by the template of their path."""


class FaultKind(StrEnum):
    """What is wrong with an artefact."""

    CORRUPT = "corrupt"
    FOREIGN = "foreign"
    HALF_WRITTEN = "half-written"
    UNRECORDED = "unrecorded"
    OUTDATED = "outdated"
    UNKNOWN = "unknown"


FIXES = {
    **dict.fromkeys(
        (FaultKind.CORRUPT, FaultKind.FOREIGN, FaultKind.HALF_WRITTEN),
        f"was moved to {SET_ASIDE}; the next run makes it again if a job needs it, and "
        "`snakemake PATH` always",
    ),
    FaultKind.UNRECORDED: "was left in place; delete it, and its rule makes it again",
    FaultKind.OUTDATED: "was left in place; delete it and run again",
    FaultKind.UNKNOWN: "was left in place; no rule makes it or reads it",
}
LEFT_IN_PLACE = (FaultKind.UNRECORDED, FaultKind.OUTDATED, FaultKind.UNKNOWN)
"""Faults whose artefacts are not moved."""


class Fault(NamedTuple):
    """An artefact that is not as it should be."""

    path: Path
    kind: FaultKind
    detail: str


def read_records() -> dict[Path, Mapping[str, Any]]:
    """Return the record of every artefact, by its path.

    Raises:
        UserError: if a record is unreadable.
    """
    files = (path for path in sorted(RECORDS.rglob("*.json")) if VERSIONS not in path.parents)
    records = (read_json(path) for path in files)
    return {Path(record["artefact"]): record for record in records}


def faults(records: Mapping[Path, Mapping[str, Any]]) -> Iterator[Fault]:
    """Yield everything in ``results/`` that is not what its record says."""
    there = [path for path in records if path.exists()]
    with ThreadPoolExecutor() as threads:
        contents = threads.map(provenance.content, there)
        hashes = {
            path: content["sha256"]
            for path, content in zip(
                there, track(contents, "Checking", len(there), transient=True), strict=True
            )
        }
    for path in there:
        try:
            template = paths.parse(path).template
        except UserError as error:
            yield Fault(path, FaultKind.UNKNOWN, str(error).removeprefix(f"{path}: "))
            continue
        broken = _unreadable(path, template)
        if broken:
            yield Fault(path, FaultKind.CORRUPT, broken)
        elif hashes[path] != records[path]["sha256"]:
            yield Fault(path, FaultKind.FOREIGN, "its content is not what the workflow wrote")
        else:
            for parent, sha256 in records[path]["parents"].items():
                if records.get(Path(parent), {}).get("sha256", sha256) != sha256:
                    yield Fault(path, FaultKind.OUTDATED, f"it was made from another {parent}")
    yield from _strays(records)


def set_aside(path: Path) -> None:
    """Move an artefact, with its record, to where no rule looks for it."""
    for file in (path, provenance.record_of(path)):
        if file.exists():
            aside = SET_ASIDE / file.relative_to(RESULTS)
            aside.parent.mkdir(parents=True, exist_ok=True)
            number = 0
            while aside.exists():
                number += 1
                aside = aside.with_name(f"{file.name}.{number}")
            file.rename(aside)


def _strays(records: Mapping[Path, Any]) -> Iterator[Fault]:
    """Yield files without a record, and what an interruption left behind."""
    folders = [RESULTS]
    while folders:
        for path in sorted(folders.pop().iterdir()):
            if path.name.endswith(".partial"):
                yield Fault(path, FaultKind.HALF_WRITTEN, "its making was interrupted")
            elif path in records or path.name.startswith(".") or path.name in UNRECORDED:
                continue
            elif path.is_dir():
                folders.append(path)
            else:
                yield Fault(path, FaultKind.UNRECORDED, "there is no record of its making")


def _unreadable(path: Path, template: str) -> str | None:
    """Return why a file or a folder's file does not open as what it is, None where it does."""
    for file in provenance.files_of(path):
        try:
            _open(file, template)
        except Exception as error:
            # A reader may fail at a damaged file in any way; its message is the answer.
            return first_line(error).removeprefix(f"{file}: ").removesuffix(FIX_BROKEN)
    return None


def _open(path: Path, template: str) -> None:
    match path.suffix:
        case ".parquet" if template in (paths.CEILING_PREDICTIONS, paths.STUDENT_PREDICTIONS):
            read_margins({"model": str(path)})
        case ".parquet":
            read_table(path, COLUMNS.get(template, []))
        case ".json" if template == paths.PROBE:
            read_probe(str(path))
        case ".json":
            read_json(path)
        case ".jsonl":
            for line in path.read_text(encoding="utf-8").splitlines():
                json.loads(line)
        case ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="numpy") as tensors:
                tensors.keys()
        case ".npy":
            import numpy as np

            np.load(path, mmap_mode="r", allow_pickle=False)
        case _:
            if not path.stat().st_size:
                raise UserError(f"{path}: is empty")


def forget_versions(records: Iterable[Mapping[str, Any]]) -> None:
    """Forget versions with which none of the recorded artefacts was made."""
    current = {provenance.versions_file(record["stage"], record["versions"]) for record in records}
    for path in VERSIONS.glob("*.json"):
        if path not in current:
            path.unlink()
