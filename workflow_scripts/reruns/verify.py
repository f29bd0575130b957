"""Whether everything in ``results/`` is what its record says.

Each artefact is hashed again, opened as its readers open it, and its parents are compared with the
ones it was made from.
"""

import json
import shlex
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from rich.progress import track

from workflow_scripts.config import paths
from workflow_scripts.core.errors import UserError, first_line
from workflow_scripts.core.files import FIX_BROKEN, read_json, read_table
from workflow_scripts.measures.probe_file import read_margins, read_probe
from workflow_scripts.reruns import provenance, records
from workflow_scripts.reruns.records import RESULTS, Records

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
    MISSING = "missing"
    UNPROVEN = "unproven"
    UNRECORDED = "unrecorded"
    OUTDATED = "outdated"
    UNKNOWN = "unknown"


SET_ASIDE_KINDS = (FaultKind.CORRUPT, FaultKind.FOREIGN, FaultKind.HALF_WRITTEN)
"""Faults whose artefacts are moved away."""
MEANING = {
    **dict.fromkeys(SET_ASIDE_KINDS, f"was moved to {SET_ASIDE}"),
    FaultKind.MISSING: "is made again by the command below; if it was deleted on purpose, delete "
    f"its record in {records.RECORDS}, too",
    FaultKind.UNPROVEN: "was left in place; the command below makes it again, with its record",
    FaultKind.UNRECORDED: "was left in place; if it is a result, the command below makes it again",
    FaultKind.OUTDATED: "was left in place; the command below makes it again",
    FaultKind.UNKNOWN: "was left in place; no rule makes it or reads it",
}
TYPED = 8
"""So many paths are typed into a command; more are kept in a file."""


class Fault(NamedTuple):
    """An artefact that is not as it should be."""

    path: Path
    kind: FaultKind
    detail: str


def faults(found: Records, temporary: Collection[str] = ()) -> Iterator[Fault]:
    """Yield everything in ``results/`` that is not what its record says.

    Args:
        found: all records.
        temporary: templates of what the workflow deletes itself once it is no longer needed.
    """
    there = [path for path in found.sound if path.exists()]
    hashes = _hashes(there)
    for path in found.sound:
        try:
            template = paths.parse(path).template
        except UserError as error:
            if path in hashes:
                yield Fault(path, FaultKind.UNKNOWN, str(error).removeprefix(f"{path}: "))
            continue
        if path in hashes:
            yield from _faults_of(path, template, hashes[path], found)
        elif template not in temporary:
            yield Fault(path, FaultKind.MISSING, "there is a record of its making alone")
    for path, reason in found.broken.items():
        yield Fault(path, FaultKind.UNPROVEN, f"its record, {records.path_of(path)}, {reason}")
    yield from _strays({*found.sound, *found.broken})


def _hashes(there: Collection[Path]) -> dict[Path, str | OSError]:
    """Return the hash of each artefact, or why it cannot be read."""

    def hash_of(path: Path) -> str | OSError:
        try:
            return provenance.content(path)["sha256"]
        except OSError as error:
            return error

    with ThreadPoolExecutor() as threads:
        hashes = threads.map(hash_of, there)
        shown = track(hashes, "Checking", len(there), transient=True)
        return dict(zip(there, shown, strict=True))


def _faults_of(path: Path, template: str, sha256: str | OSError, found: Records) -> Iterator[Fault]:
    """Yield what is wrong with an artefact that is there."""
    broken = first_line(sha256) if isinstance(sha256, OSError) else _unreadable(path, template)
    if broken:
        yield Fault(path, FaultKind.CORRUPT, broken)
    elif sha256 != found.sound[path]["sha256"]:
        yield Fault(path, FaultKind.FOREIGN, "its content is not what the workflow wrote")
    else:
        for parent, then in found.sound[path]["parents"].items():
            if found.sound.get(Path(parent), {}).get("sha256", then) != then:
                yield Fault(path, FaultKind.OUTDATED, f"it was made from another {parent}")


def set_aside(path: Path) -> None:
    """Move an artefact to where no rule looks for it; its record stays, and tells of it."""
    aside = SET_ASIDE / path.relative_to(RESULTS)
    aside.parent.mkdir(parents=True, exist_ok=True)
    number = 0
    while aside.exists():
        number += 1
        aside = aside.with_name(f"{path.name}.{number}")
    path.rename(aside)


def command_to_make_again(typed: str, made: Iterable[Fault]) -> str | None:
    """Return the command that makes again what a rule makes, or None where there is nothing.

    Args:
        typed: the command that asked for ``verify``.
        made: what is wrong.
    """
    again = dict.fromkeys(str(fault.path) for fault in made if _has_rule(fault.path))
    if not again:
        return None
    before, _, after = (shlex.join(part) for part in _parted(shlex.split(typed), "verify"))
    if len(again) <= TYPED:
        named = shlex.join(again)
    else:
        listed = SET_ASIDE / "paths.txt"
        listed.parent.mkdir(parents=True, exist_ok=True)
        listed.write_text("\n".join(again), encoding="utf-8")
        named = f"$(cat {shlex.quote(str(listed.absolute()))})"
    # Forced, since some of it is there.
    return " ".join(filter(None, (before, "--force", named, after)))


def _parted(words: list[str], word: str) -> tuple[list[str], list[str], list[str]]:
    """Return the words before one of them, that word, and those after it."""
    place = words.index(word) if word in words else len(words)
    return words[:place], words[place : place + 1], words[place + 1 :]


def _has_rule(path: Path) -> bool:
    try:
        paths.parse(path)
    except UserError:
        return False
    return True


def _strays(recorded: Collection[Path]) -> Iterator[Fault]:
    """Yield files without a record, and what an interruption left behind."""
    folders = [RESULTS]
    while folders:
        for path in sorted(folders.pop().iterdir()):
            if path.name.endswith(".partial"):
                yield Fault(path, FaultKind.HALF_WRITTEN, "its making was interrupted")
            elif path in recorded or path.name.startswith(".") or path.name in UNRECORDED:
                continue
            elif path.is_dir() and not _has_rule(path):
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
