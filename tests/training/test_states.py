"""A training's state on disk: checked when it is read, and never in the training's way."""

import contextlib
import errno
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from transformers import TrainerControl, TrainerState, TrainingArguments

from tests.shared.trainings import SETTINGS, metrics, train, weights
from workflow_scripts.core import progress as shown
from workflow_scripts.core.errors import UserError
from workflow_scripts.training import states
from workflow_scripts.training.states import MOMENTS, WEIGHT, Progress, State
from workflow_scripts.training.telemetry import MetricsLines

TENSORS = {f"{WEIGHT}/layer": torch.arange(6.0), f"{MOMENTS[0]}/layer": torch.ones(6)}


def state(folder: Path, fingerprint: str = "this training") -> State:
    return State(folder, fingerprint)


def saved(folder: Path, steps: int = 1) -> Path:
    """Save a state after so many steps and return its folder."""
    assert state(folder).save(Progress([[0.5]] * steps, [], 1.0), TENSORS.items())
    return folder / f"step-{steps:08d}"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def flip(path: Path, old: bytes = b"") -> None:
    """Flip a bit of the file's last byte, or of the byte behind ``old``."""
    content = bytearray(path.read_bytes())
    content[content.index(old) + len(old) if old else -1] ^= 1
    path.write_bytes(content)


PART, PROGRESS = "part-00000.safetensors", "progress.json"
DAMAGES: dict[str, Callable[[Path], object]] = {
    "a part is cut": lambda step: cut(step / PART),
    "a bit of a part has flipped": lambda step: flip(step / PART),
    "a part is missing": lambda step: (step / PART).unlink(),
    "its progress is empty": lambda step: (step / PROGRESS).write_bytes(b""),
    "its progress is half of it": lambda step: cut(step / PROGRESS),
    "a bit of its progress has flipped": lambda step: flip(step / PROGRESS, b'"seconds": '),
    "its progress is something else": lambda step: (step / PROGRESS).write_text("[1]"),
    "its progress is missing": lambda step: (step / PROGRESS).unlink(),
    "it is a file": lambda step: (shutil.rmtree(step), step.write_text("x")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_set_aside_with_one_line(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    step = saved(tmp_path / "state")
    DAMAGES[damage](step)
    found = state(tmp_path / "state")
    assert found.progress() == Progress()
    (line,) = caplog.messages
    assert line.startswith(f"{step}: cannot be read (")
    (aside,) = (tmp_path / "state").iterdir()
    assert f"; set aside as {aside.name}, going on without it" in line
    # It is found once, and gone when the training has ended.
    assert state(tmp_path / "state").progress() == Progress()
    assert len(caplog.messages) == 1
    found.remove()
    assert not (tmp_path / "state").exists()


def test_a_large_state_has_several_parts_each_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(states, "_PART_BYTES", 24)
    step = saved(tmp_path / "state")
    assert len(list(step.glob("part-*"))) == 2
    found = state(tmp_path / "state")
    assert found.progress().steps == 1
    assert torch.equal(next(found.tensors(WEIGHT))[2], torch.arange(6.0))
    flip(step / PART)
    assert state(tmp_path / "state").progress() == Progress()


def test_an_older_whole_state_serves_where_the_newest_is_damaged(tmp_path: Path):
    """Both are there when a training is killed between writing one and deleting the other."""
    older = saved(tmp_path / "state", 1)
    shutil.copytree(older, tmp_path / "older")
    newest = saved(tmp_path / "state", 2)
    (tmp_path / "older").rename(older)
    flip(newest / PART)
    assert state(tmp_path / "state").progress().steps == 1


def test_what_is_restored_keeps_no_file_open(tmp_path: Path):
    """NFS renames a file that is open, instead of deleting it: its folder could not be deleted."""
    saved(tmp_path / "state")
    restored = list(state(tmp_path / "state").tensors(*MOMENTS))
    assert [name for _, name, _ in restored] == ["layer"]
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


@contextlib.contextmanager
def undeletable(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[None]:
    """Have the file system refuse to delete files of this name, as NFS does while they are open."""
    unlink = os.unlink

    def refuse(path, *, dir_fd=None):
        if os.path.basename(path) == name:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        unlink(path, dir_fd=dir_fd)

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", refuse)
        yield


def test_a_state_that_cannot_be_deleted_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    saved(tmp_path / "state", 1)
    with undeletable(monkeypatch, PART):
        saved(tmp_path / "state", 2)
        assert f"is left over, since {PART} cannot be deleted" in caplog.text
        state(tmp_path / "state").remove()
    # Later it is deleted with the others, and never taken for a state.
    assert state(tmp_path / "state").progress() == Progress()
    state(tmp_path / "state").remove()
    assert not (tmp_path / "state").exists()


def test_files_that_nfs_keeps_are_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    step = saved(tmp_path / "state", 1)
    (step / ".nfs0000000000000001").write_bytes(b"")
    with undeletable(monkeypatch, ".nfs0000000000000001"):
        saved(tmp_path / "state", 2)
    assert not caplog.messages
    assert state(tmp_path / "state").progress().steps == 2


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Have the system refuse to write files beyond this size, as a full disk or a quota does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def unbroken(base: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    train(folder, base, pairs, SETTINGS["simpo"])
    return folder


def test_a_disk_that_is_full_in_a_save_ends_no_training(
    base: Path, pairs: Path, unbroken: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """A state is three times the weights, so that there is room for the checkpoint alone."""
    size = (base / "model.safetensors").stat().st_size
    keep = ("--states", tmp_path / "state", "--save-minutes", 0)
    with largest_file(2 * size):
        train(tmp_path, base, pairs, SETTINGS["simpo"], *keep)
    warnings = [line for line in caplog.messages if "cannot be written" in line]
    # After every step but the last.
    assert [line.split(":")[0][-1] for line in warnings] == ["1", "2", "3"]
    assert "the training goes on, a new attempt would from step 0" in warnings[0]
    for name, weight in weights(unbroken).items():
        assert torch.equal(weights(tmp_path)[name], weight)
    assert not list(tmp_path.glob("state/step-*"))


def test_a_save_that_fails_leaves_the_state_before(tmp_path: Path):
    step = saved(tmp_path / "state", 1)
    with largest_file(100):
        assert not state(tmp_path / "state").save(Progress([[0.5]] * 2), TENSORS.items())
    assert [path.name for path in step.parent.iterdir()] == [step.name]
    assert state(tmp_path / "state").progress().steps == 1


def test_metrics_that_found_no_room_are_written_at_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    lines = MetricsLines(tmp_path / "metrics.jsonl")
    arguments, control = TrainingArguments(str(tmp_path), report_to=[]), TrainerControl()
    states = [TrainerState(global_step=step) for step in (1, 2, 3)]
    lines.on_train_begin(arguments, states[0], control)
    lines.on_log(arguments, states[0], control, {"loss": 0.5})
    with largest_file((tmp_path / "metrics.jsonl").stat().st_size + 4):
        lines.on_log(arguments, states[1], control, {"loss": 0.4})
    lines.on_log(arguments, states[2], control, {"loss": 0.3})
    lines.close()
    assert "metrics.jsonl: a line cannot be written (" in caplog.text
    assert [line["loss"] for line in metrics(tmp_path)] == [0.5, 0.4, 0.3]


def test_a_log_on_a_full_disk_ends_no_work():
    with Path("/dev/full").open("w") as log:
        progress = shown.Progress("scoring", 10, "texts", log)
        progress.SILENCE = 0
        progress.reach(5)
        with contextlib.suppress(OSError):
            log.close()


def test_a_checkpoint_that_cannot_be_written_names_the_place_and_the_bytes(
    base: Path, pairs: Path, tmp_path: Path
):
    size = (base / "model.safetensors").stat().st_size
    needed = rf"{tmp_path}/checkpoint: the model cannot be written .* needs about \d+,\d\d\d bytes"
    with largest_file(size // 2), pytest.raises(UserError, match=needed):
        train(tmp_path, base, pairs, SETTINGS["simpo"])
    assert not (tmp_path / "checkpoint").exists()
