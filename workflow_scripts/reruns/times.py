"""The times by which Snakemake tells what is made of what.

A result that was made again is newer than all that was made of it before, and Snakemake would make
all of that again, trainings of weeks included. Where it has the very bytes of before, it gets the
time of before: not after anything that was made of these bytes.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from workflow_scripts.reruns.records import Record

CHANGES_NO_RESULT = "says when results were made, not what is in them"

_TIME_OF_A_FOLDER = ".snakemake_timestamp"


def set_back(sound: Mapping[Path, Record]) -> None:
    """Give results that are newer than what was made of them a time that is not.

    Args:
        sound: the record of each result that is what its record says.

    Raises:
        OSError: if a time cannot be set.
    """
    times = {path: _keeper(path).stat().st_mtime_ns for path in sound if path.exists()}
    made_of: dict[Path, list[Path]] = {}
    for path in times:
        for parent, sha256 in sound[path]["parents"].items():
            if Path(parent) in times and sound[Path(parent)]["sha256"] == sha256:
                made_of.setdefault(Path(parent), []).append(path)
    seen: dict[Path, int] = {}

    def latest(path: Path) -> int:
        """Return the latest time that a result may have, and what was made of it has."""
        if path not in seen:
            seen[path] = times[path]
            seen[path] = min([times[path], *map(latest, made_of.get(path, ()))])
        return seen[path]

    for path, time in times.items():
        if latest(path) < time:
            os.utime(_keeper(path), ns=(latest(path), latest(path)))


def _keeper(path: Path) -> Path:
    """Return the file whose time Snakemake takes for that of a result."""
    of_folder = path / _TIME_OF_A_FOLDER
    return of_folder if of_folder.exists() else path
