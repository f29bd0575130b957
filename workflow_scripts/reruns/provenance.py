"""How each file was made: a record of every artefact, and hashes to check it by.

Records are kept outside the artefacts: a record has the host and the time, while the same
experiment gives the same bytes. ``run_stage`` writes a record for everything that a stage wrote.
"""

import argparse
import hashlib
import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from workflow_scripts.core import atomic
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import canonical_json, read_json, sha256_of, write_json
from workflow_scripts.reruns import records
from workflow_scripts.reruns.records import RESULTS, VERSIONS, Record

PACKAGES = (
    "accelerate",
    "datasets",
    "matplotlib",
    "numpy",
    "pyarrow",
    "safetensors",
    "scipy",
    "tokenizers",
    "torch",
    "transformers",
)
"""Libraries whose versions are recorded where a stage loaded them."""


def record(stage: str, args: argparse.Namespace, seconds: float) -> None:
    """Record how a finished stage made what it wrote below ``results/``.

    Args:
        stage: its name.
        args: its arguments. The files that they name are its parents, unless the stage wrote them.
        seconds: how long it took.
    """
    settings = getattr(args, "settings", None)
    settings = json.loads(settings) if isinstance(settings, str) else settings
    written = sorted(path for path in atomic.WRITTEN if _is_artefact(path))
    versions = _versions()
    how = {
        "stage": stage,
        "settings": settings,
        "code": args.code,
        "parents": {
            str(path): _known_hash(path)
            for path in sorted({*_named(vars(args)), *_named(settings)})
            # States of other trainings come and go while this one ends.
            if not _is_hidden(path)
            and not any(path == artefact or path in artefact.parents for artefact in written)
        },
        "versions": versions,
        "commit": _commit(),
        "host": socket.gethostname(),
        "device": _device(),
        "seconds": round(seconds, 3),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    for path in written:
        records.write({"artefact": str(path), **content(path), **how})
    remembered = versions_file(stage, versions)
    if not remembered.exists():
        write_json(remembered, _versions_of(how))


def _is_artefact(path: Path) -> bool:
    """Return whether a path is of a result: below ``results/``, and not hidden there."""
    return RESULTS in path.parents and not _is_hidden(path) and path.exists()


def _is_hidden(path: Path) -> bool:
    """Return whether a path is of what the workflow keeps for itself below ``results/``."""
    return RESULTS in path.parents and any(part.startswith(".") for part in path.parts)


def content(path: Path) -> dict[str, Any]:
    """Return the hash of a file or folder, and hash and size of each file in it.

    A folder's hash is that of its files' names and hashes.
    """
    found = {
        file.relative_to(path).as_posix(): {"bytes": file.stat().st_size, "sha256": sha256_of(file)}
        for file in files_of(path)
    }
    if not path.is_dir():
        return {"sha256": found["."]["sha256"], "bytes": found["."]["bytes"]}
    hashes = {name: file["sha256"] for name, file in found.items()}
    return {"sha256": hashlib.sha256(canonical_json(hashes).encode()).hexdigest(), "files": found}


def files_of(path: Path) -> list[Path]:
    """Return the file, or the folder's files without hidden ones, such as Snakemake's timestamp."""
    if not path.is_dir():
        return [path]
    return sorted(
        file for file in path.rglob("*") if file.is_file() and not file.name.startswith(".")
    )


def other_versions() -> dict[str, dict[str, str]]:
    """Return the stages that were run with other versions than the installed ones, and which.

    This reads a small file for each stage and set of versions, and no record.
    """
    found: dict[str, dict[str, str]] = {}
    for path in sorted(VERSIONS.glob("*.json")):
        # `verify` writes a damaged one again.
        with suppress(UserError, KeyError, TypeError, AttributeError):
            run = read_json(path)
            for name, then in run["versions"].items():
                if then != (now := installed(name)):
                    found.setdefault(run["stage"], {})[name] = f"{then}, now {now}"
    return found


def warning() -> str | None:
    """Return a one-line message about such stages, or None where there are none."""
    stages = other_versions()
    if not stages:
        return None
    changed = "; ".join(
        f"{stage} ({', '.join(f'{name} {change}' for name, change in changes.items())})"
        for stage, changes in stages.items()
    )
    return (
        f"Some results were made with other versions: {changed}. They are kept; "
        "`strict_environment: true` in config.yaml makes them again."
    )


def versions_file(stage: str, versions: Mapping[str, str]) -> Path:
    """Return the file that records that a stage was run with these versions."""
    digest = hashlib.sha256(canonical_json(dict(versions)).encode()).hexdigest()[:12]
    return VERSIONS / f"{stage}-{digest}.json"


def renew_versions(made: Iterable[Record]) -> None:
    """Have the files of versions be those of the recorded artefacts: no other one, and whole."""
    current = {versions_file(one["stage"], one["versions"]): _versions_of(one) for one in made}
    for path in VERSIONS.glob("*.json"):
        if path not in current:
            path.unlink()
    for path, versions in current.items():
        try:
            whole = read_json(path) == versions
        except UserError:
            whole = False
        if not whole:
            write_json(path, versions)


def _versions_of(made: Record) -> dict[str, Any]:
    return {"stage": made["stage"], "versions": made["versions"]}


def _named(value: Any) -> Iterator[Path]:
    """Yield the files and folders whose paths are among arguments or settings."""
    match value:
        case Mapping():
            for part in value.values():
                yield from _named(part)
        case list():
            for part in value:
                yield from _named(part)
        case str() | Path() if "/" in str(value) and os.path.exists(value):
            # Unlike Path.exists, this takes text that is too long for a path.
            yield Path(value)


def _known_hash(path: Path) -> str:
    """Return the hash of a parent, from its record if that has the same sizes."""
    if RESULTS in path.parents:
        # A parent whose record is missing or damaged is hashed.
        with suppress(UserError):
            known = records.read(path)
            sizes = {path / name: file["bytes"] for name, file in known.get("files", {}).items()}
            sizes = sizes or {path: known.get("bytes")}
            if sizes == {file: file.stat().st_size for file in files_of(path)}:
                return known["sha256"]
    return content(path)["sha256"]


def _versions() -> dict[str, str]:
    loaded = {name: installed(name) for name in PACKAGES if name in sys.modules}
    return {"python": platform.python_version(), **loaded}


def installed(name: str) -> str:
    """Return the version of a library, or of Python, that is installed here."""
    if name == "python":
        return platform.python_version()
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _commit() -> str | None:
    """Return the commit of this checkout, with ``-dirty`` where files were changed since."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        described = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return described.stdout.strip() or None


def _device() -> str:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"cpu ({platform.machine()}, {os.cpu_count()} cores)"
