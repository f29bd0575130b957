"""The Hugging Face hub: what is in its cache, and downloads that go on where they broke."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from workflow_scripts.core import hub_requests
from workflow_scripts.core.errors import UserError, first_line
from workflow_scripts.core.files import sha256_of

CHANGES_NO_RESULT = "how the files of a commit get here, which are always the same"

_LARGE = {".safetensors", ".bin"}
"""Endings of files of weights."""
_Result = TypeVar("_Result")


def cached(id_: str, revision: str) -> Path | None:
    """Return the folder of a model's commit in the hub's cache, None where there is none.

    It asks nobody: a commit does not change.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(id_, revision=revision, local_files_only=True))
    except OSError:
        return None


def files(id_: str, revision: str) -> list[str]:
    """Return the names of the files of a model's commit.

    Raises:
        UserError: saying why they cannot be had.
    """
    from huggingface_hub import list_repo_files

    return _asking(id_, revision, lambda: list_repo_files(id_, revision=revision))


def download(id_: str, revision: str, folder: Path, names: Sequence[str]) -> None:
    """Download files of a model's commit into ``folder``; what has come before is not asked for.

    Raises:
        UserError: saying why they cannot be had.
    """
    from huggingface_hub import snapshot_download

    def ask() -> None:
        large = [name for name in names if Path(name).suffix in _LARGE]
        small = [name for name in names if name not in large and not (folder / name).exists()]
        if small:
            snapshot_download(id_, revision=revision, local_dir=folder, allow_patterns=small)
        for name in large:
            if not (folder / name).exists():
                _go_on(id_, revision, name, folder / name)

    _asking(id_, revision, ask)


def _go_on(id_: str, revision: str, name: str, path: Path) -> None:
    """Download a large file from where an earlier attempt at it broke.

    The hub's library begins such a file again in every process.

    Raises:
        OSError: if what has come is not the file of that hash.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, snapshot_download
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(id_, name, revision=revision)
    about = get_hf_file_metadata(url)
    if (about.size or 0) > constants.MAX_HTTP_DOWNLOAD_SIZE:
        # Only the hub's own protocol takes it, and begins it again.
        snapshot_download(id_, revision=revision, local_dir=path.parent, allow_patterns=name)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{name}.{about.etag}.part")
    with part.open("ab") as file:
        http_get(
            url,
            file,
            resume_size=file.tell(),
            headers=build_hf_headers(),
            expected_size=about.size,
        )
    # The hub names what is kept in its large file storage by its SHA-256.
    if re.fullmatch("[0-9a-f]{64}", about.etag or "") and sha256_of(part) != about.etag:
        part.unlink()
        raise OSError(f"{name} came damaged")
    part.replace(path)


def _asking(id_: str, revision: str, ask: Callable[[], _Result]) -> _Result:
    """Return what the hub answers.

    Raises:
        UserError: with the model, the cause and what to do.
    """
    from huggingface_hub import errors

    hub_requests.bound()
    try:
        return ask()
    except Exception as error:
        # Below the hub's own exceptions are those of the libraries that it uses for the network.
        match error:
            case errors.GatedRepoError():
                advice = "ask for access on the model's page, and set HF_TOKEN"
            case errors.RepositoryNotFoundError():
                advice = "check the id; for a private model set HF_TOKEN"
            case errors.RevisionNotFoundError():
                advice = "check `revision`, the commit's 40 hexadecimal digits"
            case errors.HfHubHTTPError():
                advice = "check HF_TOKEN, or try again later"
            case _:
                advice = "check the network, or point `path` at a local copy"
        raise UserError(
            f"models: {id_} at {revision} cannot be fetched ({first_line(error)}); {advice}"
        ) from error
