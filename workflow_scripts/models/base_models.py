"""Base models as folders in the hub's format: fetched, copied, converted and checked."""

import logging
import pickle
import shutil
from pathlib import Path

from workflow_scripts.core.errors import UserError, first_line

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


def fetch(id_: str, revision: str | None, folder: Path, *, pickled_weights: bool) -> None:
    """Download a model's description and weights from the hub into ``folder``.

    Args:
        id_: the model's name on the hub.
        revision: its commit.
        folder: where to write.
        pickled_weights: whether a pickle's tensors may be converted where there are no safetensors.

    Raises:
        UserError: if it cannot be fetched, or holds no safetensors.
    """
    from huggingface_hub import list_repo_files, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    where = f"models: {id_} at {revision}"
    try:
        files = list_repo_files(id_, revision=revision)
        has_safetensors = any(file.endswith(".safetensors") for file in files)
        if not has_safetensors and not pickled_weights:
            raise UserError(
                f"{where} holds no safetensors; name a revision that does, or set "
                "`pickled_weights: true` to have its pickle's tensors converted"
            )
        weights = _WEIGHTS if has_safetensors else _PICKLED_WEIGHTS
        snapshot_download(
            id_,
            revision=revision,
            local_dir=folder,
            allow_patterns=[*_DESCRIPTION, *weights],
        )
    except (HfHubHTTPError, OSError) as error:
        raise UserError(
            f"{where} cannot be fetched ({first_line(error)}); check the network, the id and "
            "HF_TOKEN, or point `path` at a local copy"
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
        raise UserError(
            f"{folder}: its pickled weights do not open as tensors alone ({first_line(error)}); "
            "name a revision that holds safetensors"
        ) from error
    model.save_pretrained(folder)
    for pattern in _PICKLED_WEIGHTS:
        for file in folder.glob(pattern):
            file.unlink()


def copy(source: Path, folder: Path) -> None:
    """Copy a local model's description and weights, and nothing else, into ``folder``.

    Raises:
        UserError: if it holds no safetensors.
    """
    folder.mkdir()
    for pattern in (*_DESCRIPTION, *_WEIGHTS):
        for file in source.glob(pattern):
            shutil.copyfile(file, folder / file.name)
    if not any(folder.glob("*.safetensors")):
        raise UserError(
            f"{source}: holds no *.safetensors; save the model with save_pretrained first"
        )


def check(folder: Path, name: str) -> None:
    """Open the configuration and the tokenizer, as every later stage will.

    Raises:
        UserError: naming the model, if one of them does not open.
    """
    from transformers import AutoConfig

    from workflow_scripts.models.checkpoints import load_tokenizer

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{name}: config.json does not open ({first_line(error)}); name a model that "
            "transformers knows"
        ) from error
    load_tokenizer(folder)
    logger.info("%s: a %s model", name, config.model_type)
