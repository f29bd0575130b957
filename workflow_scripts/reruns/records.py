"""The records of how artefacts were made: where they are, how they are written and read back.

``results/x/y`` has its record in ``results/.provenance/x/y.json``. A record carries the hash of
what it says, so that a damaged one is not taken for a damaged artefact.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import FIX_BROKEN, canonical_json, read_json, write_json

CHANGES_NO_RESULT = "tells how results were made"

RESULTS = Path("results")
RECORDS = RESULTS / ".provenance"
VERSIONS = RECORDS / "versions"
Record = Mapping[str, Any]
_SEAL = "seal"
_Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Form(BaseModel):
    """What every record says, among other things."""

    model_config = ConfigDict(extra="allow")

    artefact: Path
    sha256: _Hash
    stage: str
    code: str | None
    settings: Any
    parents: dict[Path, _Hash]
    versions: dict[str, str]


class Records(NamedTuple):
    """The records of all artefacts.

    Attributes:
        sound: the record of each artefact, by its path.
        broken: why a record cannot be read, by the path of its artefact.
    """

    sound: dict[Path, Record]
    broken: dict[Path, str]


def path_of(artefact: Path) -> Path:
    """Return where the record of an artefact is."""
    return RECORDS / f"{artefact.relative_to(RESULTS)}.json"


def write(record: Record) -> None:
    """Write an artefact's record, with the hash of what it says."""
    said = {name: value for name, value in record.items() if name != _SEAL}
    write_json(path_of(Path(record["artefact"])), {**said, _SEAL: _hash(said)})


def read(artefact: Path) -> Record:
    """Return the record of an artefact.

    Raises:
        UserError: if it is missing, or not as it was written.
    """
    path = path_of(artefact)
    record = read_json(path)
    try:
        form = _Form.model_validate(record)
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(map(str, wrong["loc"]))
        raise UserError(f"{path}: is no record ({place}: {wrong['msg']}){FIX_BROKEN}") from error
    said = {name: value for name, value in record.items() if name != _SEAL}
    # Records of older versions have no seal.
    as_written = _SEAL not in record or record[_SEAL] == _hash(said)
    if form.artefact != artefact or not as_written:
        raise UserError(f"{path}: is not as it was written{FIX_BROKEN}")
    return record


def read_all() -> Records:
    """Return the records of all artefacts, those that cannot be read apart from the others."""
    records = Records({}, {})
    for path in sorted(RECORDS.rglob("*.json")):
        if VERSIONS in path.parents or path.name.startswith("."):
            continue
        artefact = RESULTS / path.relative_to(RECORDS).with_suffix("")
        try:
            records.sound[artefact] = read(artefact)
        except UserError as error:
            reason = str(error).removeprefix(f"{path}: ").removesuffix(FIX_BROKEN)
            records.broken[artefact] = reason
    return records


def _hash(said: Record) -> str:
    return hashlib.sha256(canonical_json(said).encode()).hexdigest()
