"""A finished training stands, whatever happens to what is read off its model."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from tests.shared.trainings import SETTINGS, train
from workflow_scripts.training import finished

OUTPUTS = ("checkpoint", "train.json", "metrics.jsonl")


@pytest.fixture(scope="module")
def once(base: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished training, its states next to it."""
    folder = tmp_path_factory.mktemp("once")
    again(folder, base, pairs)
    return folder


def again(folder: Path, base: Path, pairs: Path, **settings: object) -> None:
    """Train, or take the outputs from a finished training."""
    train(folder / "run", base, pairs, SETTINGS["simpo"] | settings, "--states", folder / ".state")


def content(folder: Path) -> dict[str, bytes]:
    """Return the files that a training wrote; its record has seconds, so no two are alike."""
    files = [path for path in (folder / "run").rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def delete_outputs(folder: Path) -> None:
    """Delete a training's outputs as Snakemake does where a readout in the same job fails."""
    shutil.rmtree(folder / "run/checkpoint")
    for name in OUTPUTS[1:]:
        (folder / "run" / name).unlink()


@pytest.mark.parametrize("links", [True, False])
def test_outputs_that_are_deleted_come_back_without_training(
    links: bool, base: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if not links:

        def refuse(source: object, target: object) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", refuse)
    again(tmp_path, base, pairs)
    before = content(tmp_path)
    # However often it happens.
    for _ in range(2):
        delete_outputs(tmp_path)
        assert not content(tmp_path)
        again(tmp_path, base, pairs)
        assert content(tmp_path) == before


def test_it_takes_no_room_of_its_own(once: Path):
    kept = once / ".state/run/finished/0/model.safetensors"
    assert kept.samefile(once / "run/checkpoint/model.safetensors")


def test_states_may_be_elsewhere_and_what_is_finished_is_beside_the_results(
    base: Path, pairs: Path, tmp_path: Path
):
    elsewhere = tmp_path / "large disk"
    train(
        *(tmp_path / "run", base, pairs, SETTINGS["simpo"] | {"epochs": 2}),
        *("--states", tmp_path / ".state", "--states-elsewhere", elsewhere, "--save-minutes", 0),
    )
    assert (elsewhere).exists()  # where it has saved its state after every step
    assert not list(elsewhere.rglob("*.json"))
    assert (tmp_path / ".state/run/finished/finished.json").exists()


def test_another_training_starts_from_its_beginning(base: Path, pairs: Path, tmp_path: Path):
    again(tmp_path, base, pairs)
    before = content(tmp_path)
    again(tmp_path, base, pairs, beta=3.0)
    changed = content(tmp_path)
    assert changed["run/checkpoint/model.safetensors"] != before["run/checkpoint/model.safetensors"]


def test_what_has_changed_since_is_not_taken(base: Path, pairs: Path, tmp_path: Path):
    again(tmp_path, base, pairs)
    weights = "run/checkpoint/model.safetensors"
    whole = content(tmp_path)[weights]
    # In place, so that it is the file that is kept, too.
    with (tmp_path / weights).open("r+b") as file:
        file.write(b"x")
    delete_outputs(tmp_path)
    again(tmp_path, base, pairs)
    assert content(tmp_path)[weights] == whole


@pytest.mark.parametrize(
    ("gone", "by_a_training", "by_the_end"),
    [
        ((), False, True),  # its readouts may be running, or are done
        (("checkpoint",), True, True),  # a temporary model whose readouts are done
        (OUTPUTS, False, False),  # a readout has failed
    ],
)
def test_it_is_kept_until_snakemake_has_let_the_outputs_stand(
    gone: tuple[str, ...], by_a_training: bool, by_the_end: bool, tmp_path: Path
):
    outputs = [tmp_path / name for name in OUTPUTS]
    states = tmp_path / ".state"
    outputs[0].mkdir()
    for path in (outputs[0] / "model.safetensors", *outputs[1:]):
        path.write_text("x")

    finished.keep(states / "run", "this training", outputs)
    for name in gone:
        shutil.move(tmp_path / name, tmp_path / f"{name}.gone")
    finished.clear(states, model_alone=True)
    assert (states / "run").exists() != by_a_training
    finished.clear(states)
    assert (states / "run").exists() != by_the_end


def test_a_description_that_cannot_be_read_is_no_finished_training(tmp_path: Path):
    kept = tmp_path / "run/finished"
    kept.mkdir(parents=True)
    unlike = ({"fingerprint": "this training"}, {"outputs": 5})
    for text in ("", "[1]", *map(json.dumps, unlike)):
        (kept / "finished.json").write_text(text)
        assert not finished.restore(tmp_path / "run", "this training", [])
        finished.clear(tmp_path)
        kept.mkdir(exist_ok=True)
