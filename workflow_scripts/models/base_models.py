"""Base models as folders in the hub's format: fetched, copied and converted."""

import shutil
from pathlib import Path

from workflow_scripts.core import weight_files
from workflow_scripts.core.errors import UserError, first_line
from workflow_scripts.models import hub

_DESCRIPTION = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)


def fetch(id_: str, revision: str, folder: Path, downloads: Path, *, pickled_weights: bool) -> None:
    """Write a model's description and weights, from the hub's cache or the hub, to ``folder``.

    Args:
        id_: the model's name on the hub.
        revision: its commit.
        folder: where to write.
        downloads: folder next to it for the files that have come; a download that breaks goes on
            there, and the caller deletes it when the model is sound.
        pickled_weights: whether a pickle's tensors may be converted where there are no safetensors.

    Raises:
        UserError: if it cannot be fetched, or holds no safetensors.
    """
    origin = f"models: {id_} at {revision}"
    cached = hub.cached(id_, revision)
    if cached is not None and _is_whole(cached, origin, pickled_weights):
        copy(cached, folder, origin, pickled_weights=pickled_weights)
        return
    files = hub.files(id_, revision)
    weights = _weights_on_hub(files, pickled_weights)
    if not weights:
        raise UserError(
            f"{origin} holds no safetensors; name a revision that does, or set "
            "`pickled_weights: true` to have its pickle's tensors converted"
        )
    described = [name for name in _DESCRIPTION if name in files]
    here = downloads / revision
    hub.download(id_, revision, here, [*described, *weights])
    kind = _kind(here, pickled_weights)
    weights = weight_files.names(here, origin, kind)
    hub.download(id_, revision, here, weights)
    folder.mkdir()
    for name in described:
        shutil.copyfile(here / name, folder / name)
    for name in weights:
        weight_files.check_whole(here / name, origin)
        (folder / name).hardlink_to(here / name)
    if kind == weight_files.PICKLED:
        convert(folder, origin)


def _is_whole(folder: Path, origin: str, pickled_weights: bool) -> bool:
    """Return whether a snapshot in the cache holds all that is needed; it may hold a part."""
    try:
        weights = weight_files.names(folder, origin, _kind(folder, pickled_weights))
    except UserError:
        return False
    has_tokenizer = any((folder / name).exists() for name in _DESCRIPTION if "vocab" in name)
    has_tokenizer |= any((folder / f"tokenizer.{ending}").exists() for ending in ("json", "model"))
    whole = all((folder / name).exists() for name in ["config.json", *weights])
    return bool(weights) and has_tokenizer and whole


def _kind(folder: Path, pickled_weights: bool) -> tuple[str, str]:
    """Return the names of a whole model's weights and index: a pickle's where that is all."""
    safe = (weight_files.WHOLE, weight_files.INDEX)
    has_safe = any((folder / name).exists() for name in safe)
    return weight_files.PICKLED if pickled_weights and not has_safe else safe


def _weights_on_hub(files: list[str], pickled_weights: bool) -> list[str]:
    """Return the file of a repository that holds its weights, or the index of several."""
    order = [weight_files.WHOLE, weight_files.INDEX]
    order += weight_files.PICKLED if pickled_weights else ()
    return [name for name in order if name in files][:1]


def convert(folder: Path, origin: str) -> None:
    """Replace pickled weights by safetensors, reading tensors and nothing else from the pickle.

    Raises:
        UserError: if the pickle is not whole, or holds anything else.
    """
    from transformers import AutoModelForCausalLM

    pickles = weight_files.names(folder, origin, weight_files.PICKLED)
    for name in pickles:
        weight_files.check_whole(folder / name, origin)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            use_safetensors=False,
            weights_only=True,
            local_files_only=True,
            trust_remote_code=False,
            dtype="auto",
        )
    except Exception as error:
        # A pickle may be broken in any way, and torch has no type of its own for that.
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(
            f"{origin}: its pickled weights do not open as tensors alone ({reason}); "
            "name a revision that holds safetensors"
        ) from error
    model.save_pretrained(folder)
    for name in pickles:
        (folder / name).unlink()


def copy(source: Path, folder: Path, origin: str, *, pickled_weights: bool = False) -> None:
    """Copy a model's description and weights, and nothing else, into ``folder``.

    Raises:
        UserError: if it holds no safetensors, or a file is a link that leads out of it.
    """
    kind = _kind(source, pickled_weights)
    weights = weight_files.names(source, origin, kind)
    if not weights:
        raise UserError(f"{origin}: {_what_instead(source)}")
    folder.mkdir()
    for name in [*_DESCRIPTION, *weights]:
        file = source / name
        if name in _DESCRIPTION and not file.exists():
            continue
        weight_files.check_inside(file, origin)
        weight_files.check_whole(file, origin)
        shutil.copyfile(file, folder / name)
    if kind == weight_files.PICKLED:
        convert(folder, origin)


def _what_instead(source: Path) -> str:
    """Return what a folder without a model's safetensors holds, and what to do."""
    if (source / "adapter_config.json").exists():
        return "holds an adapter alone; merge it into its model, and save that with save_pretrained"
    others = sorted(path.name for path in source.glob("*.safetensors"))
    if others:
        return (
            f"holds {others[0]}, and transformers looks for {weight_files.WHOLE} or "
            f"{weight_files.INDEX}; save the model with save_pretrained first"
        )
    return "holds no *.safetensors; save the model with save_pretrained first"
