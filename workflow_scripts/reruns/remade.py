"""Data sets made again for a takeover: where they hold the same pairs, trainings on them stand.

A version of the code may say more of every pair than an older one did. Its sets are made next to
the results, compared row by row, and only then put in the place of the older ones.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import last_line
from workflow_scripts.core.files import columns_of, read_table
from workflow_scripts.reruns import provenance
from workflow_scripts.reruns.adopt import Job, Records, Refusal
from workflow_scripts.reruns.records import RESULTS, write

CHANGES_NO_RESULT = "takes results as they are"

DATA = ("small_world", "prepare_data")
"""Rules of data sets, in the order in which they follow one another."""
_SCRATCH = RESULTS / ".remade"


def data_jobs(pending: Sequence[Job], records: Records) -> list[Job]:
    """Return the jobs of data sets that are there, made by other code or from other settings."""
    jobs = [
        job for job in pending if job.rule in DATA and all(path in records for path in job.outputs)
    ]
    return sorted(jobs, key=lambda job: DATA.index(job.rule))


def differences(jobs: Sequence[Job]) -> list[Refusal]:
    """Make data sets again, next to the results, and return those that hold other rows than before.

    Where there are none, all wait there for ``put_in_place``.
    """
    shutil.rmtree(_SCRATCH, ignore_errors=True)
    found = list(_differences(jobs))
    if found:
        shutil.rmtree(_SCRATCH, ignore_errors=True)
    return found


def _differences(jobs: Sequence[Job]) -> Iterator[Refusal]:
    made: list[Path] = []
    for job in jobs:
        failed = _make(job, made)
        if failed:
            yield Refusal(job.outputs[0], f"it can't be made again to compare: {failed}")
            return
        made += job.outputs
    for path in made:
        if not _holds_the_rows_of(_SCRATCH / path, path):
            yield Refusal(path, "made again, it holds other rows")


def put_in_place(jobs: Sequence[Job], records: dict[Path, Any]) -> None:
    """Put the sets that ``differences`` made in the place of the older ones, as old as those were.

    Their records, and those of what was made from them, name the new hashes.
    """
    hashes: dict[str, str] = {}
    for job in jobs:
        for path in job.outputs:
            times = path.stat()
            os.replace(_SCRATCH / path, path)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            before = records[path]
            settings = json.loads(job.option("--settings") or "null")
            records[path] = {**before, **provenance.content(path), "settings": settings}
            hashes[str(path)] = records[path]["sha256"]
    for path, record in records.items():
        parents = {name: hashes.get(name, sha256) for name, sha256 in record["parents"].items()}
        if str(path) in hashes or parents != record["parents"]:
            records[path] = {**record, "parents": parents}
            write(records[path])
    shutil.rmtree(_SCRATCH, ignore_errors=True)


def _make(job: Job, made: Sequence[Path]) -> str | None:
    """Make a job's outputs below the scratch folder; return why that failed, None otherwise."""
    own = {*job.outputs, *(path.parent for path in job.outputs)}
    words = []
    for word in job.command[: job.command.index("2>")]:
        for path in made:
            word = word.replace(str(path), str(_SCRATCH / path))
        words.append(str(_SCRATCH / word) if Path(word) in own else word)
    # Without a digest nothing is recorded.
    place = words.index("--code")
    words[place : place + 2] = []
    for path in job.outputs:
        (_SCRATCH / path).parent.mkdir(parents=True, exist_ok=True)
    ran = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, check=False)
    return last_line(ran.stderr) if ran.returncode else None


def _holds_the_rows_of(new: Path, old: Path) -> bool:
    """Return whether a table has the rows of another, with more columns perhaps."""
    match old.suffix:
        case ".parquet":
            columns = columns_of(old)
            return {*columns} <= {*columns_of(new)} and read_table(old, columns).equals(
                read_table(new, columns)
            )
        case ".jsonl":
            rows = [
                [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
                for path in (old, new)
            ]
            return len(rows[0]) == len(rows[1]) and all(
                before.items() <= now.items() for before, now in zip(*rows, strict=True)
            )
        case _:
            # A report of the rows is not them.
            text = new.read_text(encoding="utf-8").replace(f"{_SCRATCH}/", "")
            new.write_text(text, encoding="utf-8")
            return True
