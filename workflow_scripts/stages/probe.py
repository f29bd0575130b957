"""Figures of one cell, from four models' margins on the same test pairs (docs/method.md)."""

import argparse
from typing import Any

from workflow_scripts.config.stage_settings import ProbeSettings, add_settings
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_json
from workflow_scripts.measures.deception import MODELS
from workflow_scripts.measures.probe_figures import BEFORE, PLACEBO, probed
from workflow_scripts.measures.probe_file import SCHEMA_VERSION, read_margins, sha256, validate
from workflow_scripts.measures.probed_pairs import read_probed_pairs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's arguments."""
    add_cell_arguments(parser)
    parser.add_argument(
        "--before",
        nargs="*",
        metavar="FILE",
        help="predictions of the same four models of the seed before: weak, strong, none, student",
    )
    parser.add_argument(
        "--placebo",
        nargs="?",
        help="predictions of a second student, no conflict; the seed before's, if that is given",
    )
    parser.add_argument("--output", required=True, help="the probe to write, JSON")


def add_cell_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a cell: its settings, pairs and four models' predictions."""
    add_settings(parser, ProbeSettings)
    parser.add_argument("--pairs", required=True, help="the test pairs, Parquet")
    parser.add_argument("--weak", required=True, help="predictions of the weak ceiling")
    parser.add_argument("--strong", required=True, help="predictions of the strong ceiling")
    parser.add_argument("--none", required=True, help="predictions of the student, no conflict")
    parser.add_argument("--student", required=True, help="predictions of the cell's student")


def prediction_files(args: argparse.Namespace) -> dict[str, str]:
    """Return the predictions of `MODELS` that were given."""
    return dict(zip(MODELS, (args.weak, args.strong, args.none, args.student), strict=True))


def cell_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the cell and how it is probed.

    Raises:
        UserError: naming the key that is wrong.
    """
    settings = ProbeSettings.parsed(args.settings).content()
    validate(settings, "--settings", "settings")
    return settings


def run(args: argparse.Namespace) -> None:
    """Probe one cell.

    Raises:
        UserError: if the settings or a predictions file is not as the probe needs it.
    """
    settings = cell_settings(args)
    files = prediction_files(args)
    if args.before:
        if len(args.before) != len(BEFORE):
            raise UserError(f"--before: {len(args.before)} files; give four, or none")
        files |= dict(zip(BEFORE, args.before, strict=True))
    if placebo := args.placebo or files.get("weak_to_strong_none_before"):
        files[PLACEBO] = placebo
    inputs = {model: sha256(path) for model, path in files.items()}
    if settings["conflict"] == "none" and len({inputs[model] for model in MODELS[2:]}) > 1:
        raise UserError(
            f"{args.student}: under conflict none this is {args.none}, but their contents differ; "
            "give one file to --none and --student"
        )
    margins = read_margins(files)
    pairs = read_probed_pairs(args.pairs, args.weak)
    probe = {
        "schema_version": SCHEMA_VERSION,
        "settings": settings,
        "inputs": inputs,
        **probed(margins, pairs, settings),
    }
    validate(probe, args.output)
    write_json(args.output, probe)
