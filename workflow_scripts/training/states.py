"""A training's state on disk: whole or absent, checked when it is read, and never in the way.

    results/.state/<path of the output>/step-00000120/progress.json
                                                      part-00000.safetensors, ...

A state holds tensors and JSON alone and does not depend on micro-batch, ranks or ZeRO stage. What
cannot be read is set aside and the training starts again; what cannot be written or deleted is a
warning.
"""

import hashlib
import json
import logging
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from workflow_scripts.core.atomic import atomic_path, remove
from workflow_scripts.core.errors import UserError, first_line
from workflow_scripts.core.files import canonical_json, sha256_of, write_json
from workflow_scripts.runtime import ranks

CHANGES_NO_RESULT = "going on after an interruption; tests hold the result to be the same"

logger = logging.getLogger(__name__)

WEIGHT = "weight"
MOMENTS = ("exp_avg", "exp_avg_sq")
"""Adam's running means of the gradient and of its square, as torch calls them."""

_PROGRESS = "progress.json"
_PART_BYTES = 2_000_000_000
_CHECKOUT = Path(__file__).parents[2]
_HASHING = """
import sys
from workflow_scripts.core.files import sha256_of
print(sha256_of(sys.argv[1]))
"""
_OURS = ("step-*", ".step-*", "unreadable-*")
"""Patterns of what is made here; any other file in a state's folder is somebody else's."""


@dataclass(frozen=True)
class Progress:
    """How far a training has come.

    Attributes:
        history: the mean loss and, for pairs, margin and accuracy, by step.
        lines: what its metrics hold, by line.
        seconds: how long it has taken.
    """

    history: list[list[float]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def steps(self) -> int:
        """Steps done."""
        return len(self.history)


class State:
    """The folder in which one training's states are kept, at most one of them for long."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        """Name the folder; a state with another fingerprint is none of this training's."""
        self.folder = folder
        self._fingerprint = fingerprint
        self._progress = Progress()
        self._found = self._latest()
        # What is there before anything is saved is of attempts that have ended.
        self._own = self._all()

    def progress(self) -> Progress:
        """Return how far the state that was found has come: nowhere where there is none."""
        return self._progress

    def tensors(self, *kinds: str) -> Iterator[tuple[str, str, Tensor]]:
        """Yield the found state's tensors: each one's kind, its weight's name, its values.

        Values are copies: a tensor mapped to its file would keep the file open, and a file system
        such as NFS cannot delete the folder of an open file.

        Raises:
            UserError: if a file, which was whole before, can no longer be read.
        """
        assert self._found is not None, "there is a state where there is progress"
        for part in sorted(self._found.glob("part-*.safetensors")):
            try:
                with safe_open(part, "pt") as file:
                    for key in file.keys():  # noqa: SIM118 - it is no dictionary
                        kind, name = key.split("/", 1)
                        if kind in kinds:
                            yield kind, name, file.get_tensor(key).clone()
            except (OSError, SafetensorError) as error:
                raise UserError(
                    f"{part}: cannot be read ({first_line(error)}); run again"
                ) from error

    def save(self, progress: Progress, tensors: Iterable[tuple[str, Tensor]]) -> bool:
        """Write a state and then delete the one before; return whether it was written.

        On all ranks, since it takes all of them to put a shared-out tensor together; the first
        one writes. Where it cannot, it warns, and the state before stays.
        """
        remaining = iter(tensors)
        saved = True
        if ranks.is_first():
            path = self.folder / f"step-{progress.steps:08d}"
            try:
                self._write(path, progress, remaining)
            except (OSError, SafetensorError) as error:
                saved = False
                logger.warning(
                    "%s: cannot be written (%s); the training goes on, a new attempt would from %s",
                    *(path, first_line(error), self.last()),
                )
            else:
                self._discard_own(but_for=path)
                self._own.append(path)
        # Every rank goes through all tensors, so that none waits for another.
        for _ in remaining:
            pass
        return saved

    def last(self) -> str:
        """Return where another attempt would go on from."""
        whole = sorted(self.folder.glob("step-*"))
        return str(whole[-1]) if whole else "step 0"

    def remove(self) -> None:
        """Delete all states of this training, and what its attempts have left."""
        self._discard_own()
        with suppress(OSError):  # where something else is in it
            self.folder.rmdir()

    def _write(self, path: Path, progress: Progress, tensors: Iterator[tuple[str, Tensor]]) -> None:
        with atomic_path(path) as unfinished, ExitStack() as hashing:
            unfinished.mkdir()
            hashes = {}
            for number, part in enumerate(_parts(tensors)):
                file = unfinished / f"part-{number:05d}.safetensors"
                save_file(part, file)
                hashes[file.name] = _hash(file, hashing)
            content = {
                "fingerprint": self._fingerprint,
                "parts": {name: result() for name, result in hashes.items()},
                "progress": asdict(progress),
            }
            write_json(unfinished / _PROGRESS, content | {"sha256": _digest(content)})

    def _discard_own(self, but_for: Path | None = None) -> None:
        """Delete this training's states, and none that somebody else may be writing."""
        for path in self._own:
            if path != but_for and (path.exists() or path.is_symlink()):
                _discard(path)
        self._own = []

    def _all(self) -> list[Path]:
        return sorted(path for pattern in _OURS for path in self.folder.glob(pattern))

    def _latest(self) -> Path | None:
        """Find the newest whole state of this very training, and read its progress.

        One that cannot be read is set aside.
        """
        for path in sorted(self.folder.glob("step-*"), reverse=True):
            try:
                content = _content(path / _PROGRESS)
                if content["fingerprint"] != self._fingerprint:
                    logger.warning("%s: is of other settings, inputs or code; starting again", path)
                    continue
                self._progress = _checked(path, content)
                return path
            except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
                _set_aside(path, error)
        return None


def _hash(file: Path, hashing: ExitStack) -> Callable[[], str]:
    """Begin to hash a part, and return what waits for the result.

    A large one while the next is gathered and written, by a process: where memory is full, CPython
    waits for ever for a new thread.
    """
    if file.stat().st_size < _PART_BYTES:
        return partial(str, sha256_of(file))
    command = [sys.executable, "-S", "-c", _HASHING, file.absolute()]
    process = hashing.enter_context(
        subprocess.Popen(command, cwd=_CHECKOUT, stdout=subprocess.PIPE)
    )

    def result() -> str:
        printed = process.communicate()[0]
        if process.returncode:
            raise OSError(f"{file.name} cannot be hashed")
        return printed.decode().strip()

    return result


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def _content(file: Path) -> dict[str, Any]:
    """Return what is in a state's JSON file.

    Raises:
        OSError: if it is missing or unreadable.
        ValueError: if it is not JSON, or has changed.
        LookupError, TypeError, AttributeError: if it is the JSON of something else.
    """
    content = json.loads(file.read_text(encoding="utf-8"))
    if content.pop("sha256") != _digest(content):
        raise ValueError(f"{file.name} is not as it was written")
    return content


def _checked(path: Path, content: dict[str, Any]) -> Progress:
    """Return a state's progress if its files are as they were written.

    Raises:
        OSError: if a file is missing or unreadable.
        ValueError: if one has changed.
    """
    for name, sha256 in content["parts"].items():
        if sha256_of(path / name) != sha256:
            raise ValueError(f"{name} is not as it was written")
    return Progress(**content["progress"])


def _set_aside(path: Path, error: Exception) -> None:
    aside = path.with_name(f"unreadable-{path.name}-{secrets.token_hex(4)}")
    logger.warning(
        "%s: cannot be read (%s); set aside as %s, going on without it",
        path,
        first_line(error),
        aside.name,
    )
    # The first rank alone, since all ranks find the same.
    if ranks.is_first():
        try:
            path.rename(aside)
        except OSError as failure:
            logger.warning("%s: cannot be set aside (%s)", path, first_line(failure))


def _discard(path: Path) -> None:
    """Delete a state, or what is left of one, so that no half of it is ever taken for a state."""
    try:
        if not path.name.startswith("."):
            path = path.rename(path.with_name(f".{path.name}.{secrets.token_hex(4)}.gone"))
    except OSError as error:
        logger.warning("%s: cannot be deleted (%s)", path, first_line(error))
        return
    remove(path)
    # NFS renames a file that is still open; it disappears when it is closed.
    left = [file for file in _files(path) if not file.name.startswith(".nfs")]
    if left:
        logger.warning("%s: is left over, since %s cannot be deleted", path, left[0].name)


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if not file.is_dir()]


def _parts(tensors: Iterable[tuple[str, Tensor]]) -> Iterator[dict[str, Tensor]]:
    """Gather tensors into files of about 2 GB, so that few are in the host's memory at once."""
    part: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors:
        part[name] = tensor.detach().to("cpu", copy=True).contiguous()
        size += part[name].nbytes
        if size >= _PART_BYTES:
            yield part
            part, size = {}, 0
    if part:
        yield part
