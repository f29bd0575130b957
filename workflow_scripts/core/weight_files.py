"""The files of a model's weights: which they are, and whether each is one."""

import json
from pathlib import Path, PurePosixPath

from workflow_scripts.core.errors import UserError, first_line

WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_LFS = b"version https://git-lfs"


def names(folder: Path, origin: str, kind: tuple[str, str] = (WHOLE, INDEX)) -> list[str]:
    """Return the names of the files that hold a model's weights, its index among them.

    As transformers looks for them: one file, or those that an index names. So weights that are
    there twice, such as ``consolidated.safetensors``, are left out.

    Args:
        folder: the model.
        origin: what messages call it.
        kind: names of the one file and of the index.

    Returns:
        The names; none where there are no weights.

    Raises:
        UserError: if the index cannot be read, or names what is no file of this folder.
    """
    whole, index = kind
    if (folder / whole).exists():
        return [whole]
    if not (folder / index).exists():
        return []
    try:
        content = json.loads((folder / index).read_text(encoding="utf-8"))
        shards = sorted(set(content["weight_map"].values()))
        plain = [str(PurePosixPath(shard).name) == shard for shard in shards]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"{origin}: {index} is no index of weights ({first_line(error)}); get the model again"
        ) from error
    if not shards or not all(plain):
        named = next(
            (shard for shard, is_plain in zip(shards, plain, strict=True) if not is_plain), ""
        )
        raise UserError(
            f"{origin}: {index} names {named or 'no file'}, and must name files of its own folder"
        )
    return [index, *shards]


def holding(folder: Path, origin: str) -> list[Path]:
    """Return the files that hold a model's weights, in safetensors.

    Raises:
        UserError: as ``names``.
    """
    return [folder / name for name in names(folder, origin) if name != INDEX]


def check_inside(file: Path, origin: str) -> None:
    """Check that a file of a model is no link that leads out of its folder.

    A snapshot in the hub's cache is made of links to the files of its repository there.

    Raises:
        UserError: naming the link.
    """
    folder = file.parent.resolve()
    allowed = [folder]
    if folder.parent.name == "snapshots":
        allowed.append(folder.parent.parent / "blobs")
    if not any(file.resolve().is_relative_to(place) for place in allowed):
        raise UserError(
            f"{origin}: {file.name} is a link to {file.resolve()}, out of the model's folder; "
            "put the file itself there"
        )


def check_whole(file: Path, origin: str) -> None:
    """Check that a file of weights is there, and is not what stands for one.

    Raises:
        UserError: naming the file, and how to get it.
    """
    if not file.is_file():
        raise UserError(f"{origin}: {file.name} is missing; get the model again")
    with file.open("rb") as content:
        head = content.read(len(_LFS))
    if not head:
        raise UserError(f"{origin}: {file.name} is empty; get it again")
    if head == _LFS:
        raise UserError(
            f"{origin}: {file.name} is a git-lfs pointer; run `git lfs pull` in that folder"
        )
