"""A file or folder is written whole or not at all, whatever lay there and whatever was left."""

import os
import re
import resource
import stat
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from workflow_scripts.core.atomic import atomic_path


def write(path: Path, kind: str, text: str) -> None:
    if kind == "file":
        path.write_text(text)
    else:
        path.mkdir()
        (path / "part").write_text(text)


def content(path: Path) -> str:
    return (path / "part" if path.is_dir() else path).read_text()


def fail_in_the_middle(path: Path, kind: str) -> None:
    with atomic_path(path) as partial:
        write(partial, kind, "half")
        raise ValueError("in the middle")


@pytest.mark.parametrize("before", ["nothing", "file", "folder"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_lay_there_is_replaced_or_stays(before: str, kind: str, tmp_path: Path):
    path = tmp_path / "result"
    if before != "nothing":
        write(path, before, "old")
    with pytest.raises(ValueError, match="in the middle"):
        fail_in_the_middle(path, kind)
    assert path.exists() == (before != "nothing")
    assert before == "nothing" or content(path) == "old"

    with atomic_path(path) as partial:
        write(partial, kind, "new")
    assert content(path) == "new"
    assert os.listdir(tmp_path) == ["result"]


def test_what_a_killed_process_of_the_same_id_left_is_in_no_ones_way(tmp_path: Path):
    """Ids are few in a container."""
    left = tmp_path / f".result.{os.getpid()}.partial"
    write(left, "folder", "half")
    with atomic_path(tmp_path / "result") as partial:
        write(partial, "folder", "new")
    assert content(tmp_path / "result") == "new"
    assert not left.exists()


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_models_are_readable_by_whom_the_umask_allows(umask: int, tmp_path: Path):
    before = os.umask(umask)
    try:
        with atomic_path(tmp_path / "model") as partial:
            partial.mkdir()
            save_file({"weight": torch.ones(1)}, partial / "model.safetensors")
    finally:
        os.umask(before)
    mode = stat.S_IMODE((tmp_path / "model/model.safetensors").stat().st_mode)
    assert mode == 0o666 & ~umask


@pytest.mark.parametrize(("spare", "expected"), [(2_000_000_000, "new"), (100_000_000, "old")])
def test_what_was_computed_with_too_little_memory_is_not_written(
    spare: int, expected: str, tmp_path: Path
):
    path = tmp_path / "result"
    path.write_text("old")
    peak = re.search(r"VmPeak:\s*(\d+)", Path("/proc/self/status").read_text())
    assert peak
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1024 * int(peak[1]) + spare, before[1]))
    try:
        with suppress(MemoryError), atomic_path(path) as partial:
            partial.write_text("new")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert path.read_text() == expected
    assert list(tmp_path.iterdir()) == [path]
