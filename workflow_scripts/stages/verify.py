"""Stage ``verify``: is everything in ``results/`` what the record of its making says?

Hashes every artefact anew, opens it as those that read it do, and compares its parents with those
that it was made from. What is corrupt, foreign at an artefact's place, or half-written is moved to
``results/.set_aside/``, so that the next run makes it again where it is needed.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import track

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_json, read_table
from workflow_scripts.reruns import provenance
from workflow_scripts.reruns.provenance import RECORDS, RESULTS, VERSIONS
from workflow_scripts.stages.probe import read_margins, read_probe

SET_ASIDE = RESULTS / ".set_aside"
UNRECORDED = ("logs", "tensorboard")
"""Folders of what tells of a run and is no result of it."""
COLUMNS = {
    "data": ["id", "prompt", "chosen", "rejected"],
    "weak_labels": ["id", "margin", "probability", "label", "true_label"],
    "student_labels": ["id", "margin", "probability", "label", "true_label"],
    "reference": ["id", "chosen", "rejected"],
    "labelling_reference": ["id", "chosen", "rejected"],
}
"""Columns of tables, by the folder below ``results/`` or the file's name."""


class Kind(StrEnum):
    """What is wrong with an artefact."""

    CORRUPT = "corrupt"
    FOREIGN = "foreign"
    HALF_WRITTEN = "half-written"
    UNRECORDED = "unrecorded"
    OUTDATED = "outdated"


MENDS = {
    **dict.fromkeys(
        (Kind.CORRUPT, Kind.FOREIGN, Kind.HALF_WRITTEN),
        f"was set aside in {SET_ASIDE}; the next run makes it again, a file between results when "
        "a job needs it, or at once with `snakemake PATH`",
    ),
    Kind.UNRECORDED: "was left; delete it, and a rule that makes it does so again",
    Kind.OUTDATED: "was left; delete it to have it made again",
}


class Fault(NamedTuple):
    """An artefact that is not as it should be."""

    path: Path
    kind: Kind
    detail: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments: none, it looks at ``results/``."""


def run(args: argparse.Namespace) -> None:
    """Check, print what is wrong, and set it aside.

    Raises:
        UserError: if anything is wrong.
    """
    records = read_records()
    found = list(faults(records))
    for fault in found:
        if fault.kind not in (Kind.UNRECORDED, Kind.OUTDATED):
            set_aside(fault.path)
    _recount_versions(records.values())
    console = Console()
    there = [path for path in records if path.exists()]
    if not found:
        console.print(f"{len(there):,} artefacts are what their records say.")
        return
    for fault in found:
        console.print(f"[bold]{fault.kind:14}[/]{fault.path}: {fault.detail}", soft_wrap=True)
    for kind in dict.fromkeys(fault.kind for fault in found):
        console.print(f"[dim]{kind:14}{MENDS[kind]}", soft_wrap=True)
    raise UserError(
        f"{len(found)} of {len(there):,} artefacts are not what they were; run the workflow "
        "to have what was set aside made again"
    )


def read_records() -> dict[Path, Mapping[str, Any]]:
    """Return the record of every artefact, by its path.

    Raises:
        UserError: if a record is unreadable.
    """
    paths = (path for path in sorted(RECORDS.rglob("*.json")) if VERSIONS not in path.parents)
    records = (read_json(path) for path in paths)
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
        broken = _unreadable(path)
        if broken:
            yield Fault(path, Kind.CORRUPT, broken)
        elif hashes[path] != records[path]["sha256"]:
            yield Fault(path, Kind.FOREIGN, "its content is not what was made here")
        else:
            for parent, sha256 in records[path]["parents"].items():
                if records.get(Path(parent), {}).get("sha256", sha256) != sha256:
                    yield Fault(path, Kind.OUTDATED, f"it was made from another {parent}")
    yield from _strays(records)


def set_aside(path: Path) -> None:
    """Move an artefact, with its record, to where no rule looks for it."""
    for each in (path, provenance.record_of(path)):
        if each.exists():
            aside = SET_ASIDE / each.relative_to(RESULTS)
            aside.parent.mkdir(parents=True, exist_ok=True)
            number = 0
            while aside.exists():
                number += 1
                aside = aside.with_name(f"{each.name}.{number}")
            each.rename(aside)


def _strays(records: Mapping[Path, Any]) -> Iterator[Fault]:
    """Yield files that no record tells of, and what an interruption left behind."""
    folders = [RESULTS]
    while folders:
        for path in sorted(folders.pop().iterdir()):
            if path.name.endswith(".partial"):
                yield Fault(path, Kind.HALF_WRITTEN, "its making was interrupted")
            elif path in records or path.name.startswith(".") or path.name in UNRECORDED:
                continue
            elif path.is_dir():
                folders.append(path)
            else:
                yield Fault(path, Kind.UNRECORDED, "there is no record of its making")


def _unreadable(path: Path) -> str | None:
    """Return why a file or a folder's file does not open as what it is, None where it does."""
    for file in provenance.files_of(path):
        try:
            _open(file)
        except Exception as error:
            # A reader may fail at a damaged file in any way; each way is the answer.
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            return reason.removeprefix(f"{file}: ").removesuffix("; delete it and run again")
    return None


def _open(path: Path) -> None:
    top = path.relative_to(RESULTS).parts[0]
    match path.suffix:
        case ".parquet" if path.name == "predictions.parquet":
            read_margins({"it": str(path)})
        case ".parquet":
            read_table(path, COLUMNS.get(path.stem, COLUMNS.get(top, [])))
        case ".json" if top == "probes":
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


def _recount_versions(records: Any) -> None:
    """Forget versions that no artefact was made with any more."""
    current = {provenance.versions_file(record["stage"], record["versions"]) for record in records}
    for path in VERSIONS.glob("*.json"):
        if path not in current:
            path.unlink()
