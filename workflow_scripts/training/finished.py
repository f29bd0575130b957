"""The outputs of a finished training, kept until what is read off its model stands.

On a cluster a training and its readouts are one job. Where a readout fails, Snakemake deletes the
outputs of the whole job, those of the finished training too. So a training's outputs are linked to
next to its states, which takes no room as long as they are there:

    results/.state/<path of the output>/finished/finished.json
                                                 0/... (its model), 1, ... (its other outputs)

Another attempt takes its outputs from there, to the same bytes, without a step. What is kept is
deleted once Snakemake has let the outputs stand: by the next training where only the model is gone,
which was temporary then, and otherwise at the end of the run.
"""

import hashlib
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from workflow_scripts.core.atomic import atomic_path, remove
from workflow_scripts.core.errors import first_line
from workflow_scripts.core.files import canonical_json, sha256_of, write_json
from workflow_scripts.runtime import ranks, slurm_job, stopping

CHANGES_NO_RESULT = "the same outputs, without training again"

logger = logging.getLogger(__name__)

FOLDER = "finished"
_DESCRIPTION = "finished.json"
_MOMENT = 1.0
"""Seconds in which Snakemake deletes the outputs of a failed job, one after another."""


def keep(states: Path, fingerprint: str, outputs: Sequence[Path]) -> None:
    """Keep a finished training's outputs; where that is impossible, warn.

    Args:
        states: the folder of the training's states.
        fingerprint: of all that the outputs depend on.
        outputs: the model's folder, and then the other files.
    """
    try:
        with atomic_path(states / FOLDER) as partial:
            partial.mkdir()
            for number, output in enumerate(outputs):
                _link(output, partial / str(number))
            description = {
                "fingerprint": fingerprint,
                "outputs": [str(output) for output in outputs],
                "sha256": _hash(partial),
                "start": slurm_job.start(),
            }
            write_json(partial / _DESCRIPTION, description)
    except OSError as error:
        logger.warning("%s: the finished training cannot be kept (%s)", states, first_line(error))


def restore(states: Path, fingerprint: str, outputs: Sequence[Path]) -> bool:
    """Put a finished training's outputs in place, and return whether there was one.

    What is kept is read by all ranks, so that they agree, and written by the first. Where it has
    changed it is deleted.
    """
    kept = states / FOLDER
    try:
        description = json.loads((kept / _DESCRIPTION).read_text(encoding="utf-8"))
        if description["fingerprint"] != fingerprint or len(description["outputs"]) != len(outputs):
            return False
        if description["sha256"] != _hash(kept):
            raise ValueError("it is not as it was written")
    except FileNotFoundError:
        return False
    except (OSError, ValueError, LookupError, TypeError) as error:
        logger.warning("%s: cannot be read (%s); training again", kept, first_line(error))
        if ranks.is_first():
            remove(kept)
        return False
    logger.info("the training has finished before; its outputs are in %s", kept)
    if ranks.is_first():
        for number, output in enumerate(outputs):
            with atomic_path(output) as partial:
                _link(kept / str(number), partial)
            # Newer than the inputs, whatever has happened to their times since.
            os.utime(output)
    return True


def read_out_in_another_start(root: Path) -> bool:
    """Have Slurm start this job again, whose time ends, if it has trained a model in this start.

    The next start takes the model as it is, and has all its time for readouts. A start that did not
    train could do no more than this one.

    Args:
        root: the folder of all trainings' states.

    Returns:
        whether Slurm will.
    """
    start = slurm_job.start()
    if start is None or all(_described(path).get("start") != start for path in _kept(root)):
        return False
    return slurm_job.start_again()


def at_the_end(root: Path) -> None:
    """Do so at the end of a Snakemake that was told to stop, which starts no more readouts."""
    if stopping.was_told() and read_out_in_another_start(root):
        print("The time of this job is over: Slurm starts it again.", file=sys.stderr)


def clear(root: Path, *, model_alone: bool = False) -> None:
    """Delete what is kept of trainings whose outputs Snakemake has let stand.

    Args:
        root: the folder of all trainings' states.
        model_alone: only where the model alone is gone, and so takes up room here.
    """
    found = [path for path in _kept(root) if _stands(path, model_alone)]
    if found and model_alone:
        # Looked at twice: the outputs of a failed job are deleted one after another.
        time.sleep(_MOMENT)
        found = [path for path in found if _stands(path, model_alone)]
    for path in found:
        remove(path)
        with suppress(OSError):
            path.parent.rmdir()


def _stands(kept: Path, model_alone: bool) -> bool:
    """Return whether the outputs other than the model are there, as after a job that succeeded."""
    outputs = _described(kept).get("outputs")
    if not isinstance(outputs, list) or not outputs:
        return False
    model, *others = outputs
    there = all(Path(output).exists() for output in others)
    return there and not (model_alone and Path(model).exists())


def _kept(root: Path) -> Iterator[Path]:
    """Yield where finished trainings are kept, while other jobs write and delete there."""
    for folder, inside, _ in os.walk(root):
        if FOLDER in inside:
            inside.remove(FOLDER)
            yield Path(folder, FOLDER)


def _described(kept: Path) -> dict[str, Any]:
    """Return what is said of a finished training, nothing where that cannot be read."""
    try:
        said = json.loads((kept / _DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _link(source: Path, target: Path) -> None:
    """Link to a file or a folder's files; copy where the file system has no links."""

    def link(file: str | os.PathLike[str], place: str | os.PathLike[str]) -> None:
        try:
            os.link(file, place)
        except OSError:
            shutil.copyfile(file, place)

    if source.is_dir():
        # Not Snakemake's own stamp, which is of another job.
        shutil.copytree(
            source, target, copy_function=link, ignore=shutil.ignore_patterns(".snakemake*")
        )
    else:
        link(source, target)


def _hash(kept: Path) -> str:
    """Return the digest of the names and contents of what is kept."""
    files = sorted(path for path in kept.rglob("*") if path.is_file())
    hashes = {
        str(path.relative_to(kept)): sha256_of(path)
        for path in files
        if path.name != _DESCRIPTION and not path.name.startswith(".nfs")
    }
    return hashlib.sha256(canonical_json(hashes).encode()).hexdigest()
