"""Whether results are what their records say: every kind of artefact, and its record, damaged."""

import argparse
import json
import os
import shlex
import shutil
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import save_file

from tests.shared.probes import write_probe
from tests.shared.stages import run_stage
from workflow_scripts.config import paths
from workflow_scripts.core import atomic
from workflow_scripts.core.atomic import atomic_path
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_json, write_table
from workflow_scripts.reruns import provenance, records

NAMES = {
    **{"world": "w", "set": "gt", "target": "t", "corpus": "c", "model": "m", "seed": "0"},
    **{"scenario": "simpo", "weak": "a", "strong": "b", "conflict": "none", "variant": ""},
    **{"supervision": "labels", "figure": "accuracies", "table": "accuracies"},
}
COLUMNS = {
    name: ["one", "two"]
    for name in ("id", "prompt", "chosen", "rejected", "probability", "label", "true_label")
} | {"margin": [0.5, -1.5]}
KINDS = [template for template in paths.FILES if template != paths.NAMES]
"""The names of files have no record: they are made of the configuration alone."""
TYPED = "snakemake verify --configfile mine.yaml"


def write(path: Path, template: str, probe: Path) -> None:
    """Write an artefact that opens as its readers open it."""
    if template == paths.PROBE:
        write_json(path, json.loads(probe.read_text()))
    elif path.suffix == ".parquet":
        write_table(path, pa.table(COLUMNS))
    elif path.suffix in (".json", ".jsonl"):
        with atomic_path(path) as partial:
            partial.write_text('{"steps":1}\n')
    else:
        with atomic_path(path) as partial:
            if path.suffix == ".npy":
                with partial.open("wb") as file:
                    np.save(file, np.arange(9))
            elif path.suffix:
                partial.write_text("text\n")
            else:
                partial.mkdir()
                (partial / "config.json").write_text('{"layers":1}\n')
                save_file({"weight": np.ones(9)}, partial / "model.safetensors")


def recorded(path: Path, *parents: Path) -> None:
    """Record an artefact as the stage that made it does."""
    atomic.WRITTEN.clear()
    atomic.WRITTEN.add(path)
    provenance.record("train", argparse.Namespace(code="0" * 16, pairs=list(parents)), 1.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an artefact of every kind, and their records."""
    folder = tmp_path_factory.mktemp("made")
    probe = write_probe(tmp_path_factory.mktemp("probe"), "simpo", "a", "b", "explicit", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(atomic, "WRITTEN", set())
        patch.setattr(provenance, "_commit", lambda: None)  # a process of git for each
        for template in KINDS:
            write(artefact(template), template, probe)
            recorded(artefact(template))
    return folder


@pytest.fixture
def results(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of sound results."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(atomic, "WRITTEN", set())


def artefact(template: str) -> Path:
    return Path(template.format(**NAMES))


def flip(path: Path, random: Random) -> None:
    """Flip a bit of a file, or of one of a folder's files."""
    file = random.choice([file for file in provenance.files_of(path) if file.stat().st_size])
    content = bytearray(file.read_bytes())
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    file.write_bytes(content)


def verify(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """Return what is printed where something is wrong."""
    with pytest.raises(UserError, match="make them again with the command above"):
        run_stage("verify", "--typed", TYPED, *options)
    return capsys.readouterr().out


def told(output: str) -> dict[str, str]:
    """Return the kind of fault that is printed of each path."""
    lines = (line.split(maxsplit=1) for line in output.splitlines() if ": " in line)
    return {rest.partition(": ")[0]: kind for kind, rest in lines}


def asked_for(output: str) -> list[str]:
    """Return what the printed command makes."""
    (line,) = (line for line in output.splitlines() if line.startswith("    snakemake"))
    program, forced, *made, option, file = shlex.split(line)
    assert [program, forced, option, file] == ["snakemake", "--force", "--configfile", "mine.yaml"]
    return made


def test_results_that_are_as_they_were_made_are_said_to_be(results: None, capsys):
    run_stage("verify")
    said = capsys.readouterr().out.strip()
    assert said == f"{len(KINDS)} artefacts are what their records say."


@pytest.mark.parametrize("number", range(4))
def test_a_flipped_bit_in_any_kind_is_found_and_missed_until_it_is_made_again(
    number: int, made: Path, results: None, capsys
):
    everything = {str(artefact(template)) for template in KINDS}
    for path in everything:
        flip(Path(path), Random(f"{path} {number}"))
    kinds = told(verify(capsys))
    assert set(kinds) == everything
    assert set(kinds.values()) <= {"corrupt", "foreign"}
    assert not [path for path in everything if Path(path).exists()]
    # Nothing says that all is well while it is gone.
    assert told(verify(capsys)) == dict.fromkeys(everything, "missing")
    shutil.copytree(made / "results", "results", dirs_exist_ok=True)
    run_stage("verify")


RECORD = "results/.provenance/models/m.json"
BROKEN_RECORDS = {
    "empty": lambda text: "",
    "cut": lambda text: text[: len(text) // 2],
    "another hash": lambda text: text.replace('"sha256": "', '"sha256": "' + "0" * 64, 1)[:-64],
    "another digit of the hash": lambda text: swapped(text, json.loads(text)["sha256"]),
    "another key": lambda text: text.replace('"artefact"', '"artefbct"'),
    "another artefact": lambda text: text.replace("results/models/m", "results/models/n"),
    "another setting": lambda text: text.replace('"seconds": 1.0', '"seconds": 1.5'),
    "a list": lambda text: "[]",
}


def swapped(text: str, digits: str) -> str:
    return text.replace(digits, digits[:9] + ("1" if digits[9] == "0" else "0") + digits[10:])


@pytest.mark.parametrize("damage", BROKEN_RECORDS)
def test_a_damaged_record_ends_nothing_and_moves_nothing(damage: str, results: None, capsys):
    record, others = Path(RECORD), artefact(paths.WEAK_LABELS)
    text = record.read_text()
    record.write_text(BROKEN_RECORDS[damage](text))
    assert record.read_text() != text
    flip(others, Random(0))
    for expected in ("corrupt", "foreign"), ("missing",):
        output = verify(capsys)
        kinds = told(output)
        assert set(kinds) == set(asked_for(output)) == {"results/models/m", str(others)}
        assert kinds["results/models/m"] == "unproven"
        assert kinds[str(others)] in expected
    # What is made of it later is recorded all the same.
    recorded(artefact(paths.SFT_REFERENCE), Path("results/models/m"))
    record.write_text(text)
    made_of_it = records.read(artefact(paths.SFT_REFERENCE))
    assert made_of_it["parents"] == {"results/models/m": json.loads(text)["sha256"]}


def test_a_record_of_an_older_version_is_read(results: None):
    record = json.loads(Path(RECORD).read_text())
    del record["seal"]
    Path(RECORD).write_text(json.dumps(record))
    run_stage("verify")


def test_the_command_that_makes_it_again_is_printed(results: None, capsys):
    few, many = KINDS[:3], KINDS
    for damaged in (few, many):
        for template in damaged:
            if artefact(template).exists():
                flip(artefact(template), Random(template))
        output = verify(capsys)
        if damaged == few:
            assert set(asked_for(output)) == {str(artefact(template)) for template in few}
    assert f"--force $(cat {Path.cwd()}/results/.set_aside/paths.txt) --configfile" in output
    listed = Path("results/.set_aside/paths.txt").read_text().splitlines()
    assert sorted(listed) == sorted(str(artefact(template)) for template in many)


def test_a_checkpoint_that_the_workflow_itself_deleted_is_not_missed(results: None, capsys):
    template = f"{paths.WEAK_TO_STRONG}/checkpoint"
    shutil.rmtree(artefact(template))
    assert told(verify(capsys)) == {str(artefact(template)): "missing"}
    run_stage("verify", "--temporary", template)


def test_what_is_made_again_to_the_same_bytes_has_nothing_made_again_of_it(results: None):
    """A model that is newer than all that was made of it gets a time that is not."""
    model, labels, predictions = map(
        artefact, (paths.MODEL, paths.WEAK_LABELS, paths.CEILING_PREDICTIONS)
    )
    (model / ".snakemake_timestamp").touch()
    recorded(labels, model)
    recorded(predictions, labels)
    times = {model / ".snakemake_timestamp": 900, labels: 800, predictions: 300}
    for path, time in times.items():
        os.utime(path, (time, time))
    run_stage("verify")
    assert [path.stat().st_mtime for path in times] == [300, 300, 300]


def test_damaged_notes_of_versions_are_written_again(results: None):
    (versions,) = records.VERSIONS.glob("*.json")
    text = versions.read_text()
    for damaged in ("", "{}", '{"stage": 1, "versions": 2}', text.replace("python", "pythom")):
        versions.write_text(damaged)
        provenance.warning()
        run_stage("verify")
        assert versions.read_text() == text
