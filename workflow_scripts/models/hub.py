"""The Hugging Face hub: what is in its cache, and downloads that go on where they broke."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from workflow_scripts.core.errors import UserError, first_line

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

    def ask() -> str:
        return snapshot_download(
            id_, revision=revision, local_dir=folder, allow_patterns=list(names)
        )

    _asking(id_, revision, ask)


def _asking(id_: str, revision: str, ask: Callable[[], _Result]) -> _Result:
    """Return what the hub answers.

    Raises:
        UserError: with the model, the cause and what to do.
    """
    from huggingface_hub import errors

    # Not a line for every file and every retry: what matters is how it ends.
    for library in ("httpx2", "huggingface_hub"):
        logging.getLogger(library).setLevel(logging.ERROR)
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
