"""Models from the hub: pinned, from its cache where they are there, going on where they broke."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from huggingface_hub import snapshot_download

from tests.shared.base_models import FAMILIES, save_base
from tests.shared.hub import ID, REVISION, Hub, serving
from tests.shared.workflows import ROOT
from workflow_scripts.core.errors import UserError
from workflow_scripts.models.hub import download

STAGE = (sys.executable, "-m", "workflow_scripts", "base_model")
WHERE = f"error: models: {ID} at {REVISION} cannot be fetched ("

# A process for each download, and the library waits longer each time that it tries again.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("hub") / "model", FAMILIES["gpt2"])


@pytest.fixture
def hub(repository: Path) -> Iterator[Hub]:
    with serving(repository) as served:
        yield served


def fetch(hub: Hub, output: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Fetch the hub's model; its cache is next to ``output``."""
    settings = {"id": ID, "revision": REVISION, "path": None, "pickled_weights": False}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = clean | {"HF_ENDPOINT": hub.address, "HF_HOME": str(output.parent / "cache")}
    return subprocess.run(
        [*STAGE, "--settings", json.dumps(settings), "--output", str(output)],
        cwd=ROOT,
        env=environment | {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"} | more,
        capture_output=True,
        text=True,
        check=False,
    )


def errors(ran: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of an error."""
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (401, "", "check HF_TOKEN, or try again later"),
        (401, "GatedRepo", "ask for access on the model's page, and set HF_TOKEN"),
        (403, "GatedRepo", "ask for access on the model's page, and set HF_TOKEN"),
        (404, "RepoNotFound", "check the id; for a private model set HF_TOKEN"),
        (404, "RevisionNotFound", "check `revision`, the commit's 40 hexadecimal digits"),
    ],
)
def test_what_the_hub_refuses_is_one_line(
    status: int, code: str, advice: str, hub: Hub, tmp_path: Path
):
    hub.status, hub.code = status, code
    line = errors(fetch(hub, tmp_path / "model"))
    assert line.startswith(WHERE)
    assert line.endswith(f"); {advice}")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("address", "offline", "cause"),
    [
        ("http://127.0.0.1:9", "0", "Connection refused"),
        ("http://nowhere.invalid", "1", "offline mode is enabled"),
    ],
)
def test_a_hub_that_cannot_be_reached_is_one_line(
    address: str, offline: str, cause: str, hub: Hub, tmp_path: Path
):
    hub.address = address
    line = errors(fetch(hub, tmp_path / "model", HF_HUB_OFFLINE=offline))
    assert line.startswith(WHERE)
    assert cause in line
    assert line.endswith("); check the network, or point `path` at a local copy")


def test_a_pinned_model_in_the_cache_is_taken_without_asking(hub: Hub, tmp_path: Path):
    cache = tmp_path / "cache/hub"
    snapshot_download(ID, revision=REVISION, cache_dir=cache, endpoint=hub.address)
    hub.asked.clear()
    hub.status = 500
    ran = fetch(hub, tmp_path / "model")
    assert ran.returncode == 0, ran.stderr
    assert not hub.asked
    for file in (tmp_path / "model").iterdir():
        assert file.read_bytes() == (hub.folder / file.name).read_bytes()
        assert not file.is_symlink()


def test_a_part_of_a_model_in_the_cache_is_not_taken_for_it(hub: Hub, tmp_path: Path):
    cache = tmp_path / "cache/hub"
    snapshot_download(
        ID, revision=REVISION, cache_dir=cache, endpoint=hub.address, allow_patterns="*.json"
    )
    ran = fetch(hub, tmp_path / "model")
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "model/model.safetensors").exists()


def test_a_broken_download_goes_on_where_it_broke(repository: Path, tmp_path: Path):
    """Files that have come are kept, until the model is whole and sound."""
    copied = Path(shutil.copytree(repository, tmp_path / "repository"))
    (copied / "consolidated.safetensors").write_bytes(bytes(1_000_000))
    sizes = {file.name: file.stat().st_size for file in copied.iterdir()}
    with serving(copied) as hub:
        hub.breaks_after = sizes["tokenizer.json"] + 1
        assert sizes["model.safetensors"] > hub.breaks_after
        assert "check the network" in errors(fetch(hub, tmp_path / "model"))
        hub.breaks_after = hub.sent = 0
        ran = fetch(hub, tmp_path / "model")
        assert ran.returncode == 0, ran.stderr
        # What the other files hold had come before; and what is there twice is not fetched.
        assert hub.sent == sizes["model.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "model", "repository"]
    assert {path.name for path in (tmp_path / "model").iterdir()} == set(sizes) - {
        "consolidated.safetensors"
    }


CHUNK = 10 * 1024 * 1024
"""Bytes that the hub's library writes at a time."""


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Return a hub from which a part of a large file has come, into ``here``, before it broke."""
    (tmp_path / "large").mkdir()
    (tmp_path / "large/model.safetensors").write_bytes(Random(0).randbytes(CHUNK * 2))
    with serving(tmp_path / "large") as hub:
        template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        hub.breaks_after, hub.ends = CHUNK + 1, True
        with pytest.raises(UserError, match=r"^models: .* cannot be fetched \(.*503.*\); "):
            get(tmp_path)
        hub.breaks_after = hub.sent = hub.status = 0
        yield hub


def get(folder: Path) -> bytes:
    """Download the large file, and return what has come."""
    download(ID, REVISION, folder / "here", ["model.safetensors"])
    (file,) = (folder / "here").iterdir()
    return file.read_bytes()


def test_a_large_file_goes_on_where_it_broke(broken: Hub, tmp_path: Path):
    assert get(tmp_path) == (broken.folder / "model.safetensors").read_bytes()
    assert broken.sent == CHUNK


def test_a_large_file_that_was_damaged_on_its_way_is_had_again(broken: Hub, tmp_path: Path):
    (part,) = (tmp_path / "here").iterdir()
    part.write_bytes(bytes(CHUNK))
    with pytest.raises(UserError, match="safetensors came damaged"):
        get(tmp_path)
    assert get(tmp_path) == (broken.folder / "model.safetensors").read_bytes()
