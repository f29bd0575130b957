"""Figures of one cell, from four models' margins on the same test pairs (DESIGN section 2)."""

import argparse
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.core import seeds
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_json, read_table, write_json
from workflow_scripts.measures.deception import (
    CORRECTNESS_THRESHOLD,
    DECEPTIVE,
    MODELS,
    Array,
    Outcomes,
    Statistic,
    confidence,
    deception,
    generalization,
    knowledge_columns,
    model_columns,
    quadrant_masks,
)
from workflow_scripts.measures.reliability import reliability
from workflow_scripts.measures.resampling import (
    percentile_interval,
    permutation_p_value,
    resampled_sums,
)
from workflow_scripts.measures.selection_control import control, control_columns

SCHEMA_VERSION = 1
SELECTION = "selection"
NO_CONTROL = "no earlier seed of the weak model was run"
SCHEMA = Path(__file__).parents[2] / "workflow_scripts/measures/probe.schema.json"
DECIMALS = 12
"""Digits kept: more would tell the order in which a linear algebra library adds."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's arguments."""
    add_cell_arguments(parser)
    parser.add_argument(
        "--control", nargs="?", help="predictions of the weak ceiling trained from another seed"
    )
    parser.add_argument("--output", required=True, help="the probe to write, JSON")


def add_cell_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what names a cell: its settings and the predictions of its four models."""
    parser.add_argument("--settings", required=True, help="the cell and how it is probed, as JSON")
    parser.add_argument("--weak", required=True, help="predictions of the weak ceiling")
    parser.add_argument("--strong", required=True, help="predictions of the strong ceiling")
    parser.add_argument("--none", required=True, help="predictions of the student, no conflict")
    parser.add_argument("--student", required=True, help="predictions of the cell's student")


def prediction_files(args: argparse.Namespace) -> dict[str, str]:
    """Return the predictions of `MODELS` that were given."""
    return dict(zip(MODELS, (args.weak, args.strong, args.none, args.student), strict=True))


def run(args: argparse.Namespace) -> None:
    """Probe one cell.

    Raises:
        UserError: if the settings or a predictions file is not as the probe needs it.
    """
    settings = json.loads(args.settings)
    validate(settings, "--settings", "settings")
    files = prediction_files(args)
    inputs = {model: _sha256(path) for model, path in files.items()}
    if settings["conflict"] == "none" and len({inputs[model] for model in MODELS[2:]}) > 1:
        raise UserError(
            f"{args.student}: under conflict none this is {args.none}, but their contents differ; "
            "give one file to --none and --student"
        )
    if args.control:
        files["control"] = args.control
        inputs["control"] = _sha256(args.control)
    margins = read_margins(files)
    outcomes = Outcomes.of(margins, settings["beta"])
    control_confidence = confidence(margins["control"], settings["beta"]) if args.control else None
    probe = {
        "schema_version": SCHEMA_VERSION,
        "settings": settings,
        "pairs": len(outcomes.taxed),
        "inputs": inputs,
        **figures(outcomes, control_confidence, settings),
        "reliability": {
            model: _rounded(reliability(outcomes.confidence[model], outcomes.correct[model]))
            for model in MODELS
        },
    }
    validate(probe, args.output)
    write_json(args.output, probe)


def read_probe(path: str) -> dict[str, Any]:
    """Return a probe, checked against its schema.

    Raises:
        UserError: if it is missing, not JSON or not a probe of this version.
    """
    probe = read_json(path)
    validate(probe, path)
    return probe


def validate(value: Any, source: str, definition: str | None = None) -> None:
    """Check a probe, or the part of one that the schema calls ``definition``.

    Raises:
        UserError: naming ``source``, the key and what is wrong with it.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    schema = read_json(SCHEMA)
    if definition:
        schema = {"$schema": schema["$schema"], "$defs": schema["$defs"]} | {
            "$ref": f"#/$defs/{definition}"
        }
    error = best_match(Draft202012Validator(schema).iter_errors(value))
    if error is not None:
        message = error.message if len(error.message) < 200 else f"{error.message[:200]}…"
        raise UserError(f"{source}: {error.json_path}: {message}; {SCHEMA.name} says what it holds")


def read_margins(files: Mapping[str, str]) -> dict[str, Array]:
    """Return each model's margins, aligned by pair id and in the order of the sorted ids.

    Raises:
        UserError: if a file has a pair twice, an unusable margin, or not the first file's pairs.
    """
    tables = {model: _read_predictions(path) for model, path in files.items()}
    (first, (ids, _)), *others = tables.items()
    for model, (other_ids, _) in others:
        if not np.array_equal(ids, other_ids):
            for has, has_ids, lacks, lacks_ids in (
                (first, ids, model, other_ids),
                (model, other_ids, first, ids),
            ):
                if len(missing := np.setdiff1d(has_ids, lacks_ids)):
                    raise UserError(
                        f"{files[lacks]}: lacks the pair {missing[0]}, which {files[has]} has; "
                        "predict both on the same test set"
                    )
    return {model: margins for model, (_, margins) in tables.items()}


def _read_predictions(path: str) -> tuple[np.ndarray, Array]:
    """Return the sorted ids of a predictions file and their margins, both of shape (pairs,)."""
    table = read_table(path, ["id", "margin"])
    if not len(table):
        raise UserError(f"{path}: has no pairs; predict on a test set that is not empty")
    ids = np.array(table["id"].to_pylist(), dtype=np.str_)
    # Not through to_numpy(), which imports pandas: longer than all else that a probe does.
    margins = np.array(table["margin"].to_pylist(), dtype=np.float64)
    order = np.argsort(ids, kind="stable")
    ids, margins = ids[order], margins[order]
    if len(twice := ids[1:][ids[1:] == ids[:-1]]):
        raise UserError(f"{path}: has the pair {twice[0]} twice; predict again")
    if len(unusable := ids[~np.isfinite(margins)]):
        raise UserError(
            f"{path}: the margin of {unusable[0]} is not a finite number; train again with a "
            "smaller learning rate"
        )
    return ids, margins


def figures(
    outcomes: Outcomes, control_confidence: Array | None, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return every figure of a probe, each as its value, interval and, where null, reason.

    Args:
        outcomes: what the cell's four models make of the test pairs.
        control_confidence: a second weak model's confidence in the true choice, shape (pairs,).
        settings: the cell and how it is probed.
    """
    thresholds = {settings["threshold"], CORRECTNESS_THRESHOLD, *settings["sweep"]}
    columns: dict[tuple[float | str | None, str], Array] = {}
    for name, column in model_columns(outcomes).items():
        columns[None, name] = column
    for threshold in sorted(thresholds):
        for name, column in knowledge_columns(outcomes, threshold).items():
            columns[threshold, name] = column
    if control_confidence is not None:
        selected = control_columns(outcomes, control_confidence, settings["threshold"])
        columns |= {(SELECTION, name): column for name, column in selected.items()}
    sums = resampled_sums(columns, settings["resamples"], seeds.generator(_cell(settings)))

    def sums_of(part: float | str | None) -> dict[str, Array]:
        return {name: values for (of, name), values in sums.items() if of == part}

    level = settings["interval"]
    at = {
        threshold: _deception(outcomes, threshold, sums_of(threshold), level)
        for threshold in thresholds
    }
    return _described(generalization(sums_of(None)), len(outcomes.taxed), level) | {
        "deception": at[settings["threshold"]],
        "deception_by_correctness": at[CORRECTNESS_THRESHOLD],
        "deception_by_threshold": [at[threshold] for threshold in settings["sweep"]],
        "selection_control": {"reason": NO_CONTROL}
        if control_confidence is None
        else _described(vars(control(sums_of(SELECTION))), len(outcomes.taxed), level),
    }


def _cell(settings: Mapping[str, Any]) -> str:
    """Return the name that seeds a cell's resamples, the same for its direct student and variants.

    So their figures vary together over resamples, as over the test pairs that they share.
    """
    names = [settings[key] for key in ("target", "scenario", "weak", "strong", "conflict")]
    return "/".join(["probe", *names, f"seed{settings['seed']}"])


def _deception(
    outcomes: Outcomes, threshold: float, sums: Mapping[str, Array], level: float
) -> dict[str, Any]:
    at = deception(sums)
    described = _described(
        {
            "quadrants": at.quadrants,
            "deception_score": at.score,
            "deception_score_strong_known": at.score_strong_known,
            "excess_deception": {
                "baseline": at.baseline,
                "difference": at.excess_difference,
                "ratio": at.excess_ratio,
            },
            "blind_spot_deception": at.blind_spot,
        },
        len(outcomes.taxed),
        level,
    )
    described["excess_deception"]["p_value"] = _p_value(outcomes, threshold)
    return {"threshold": threshold, **described}


def _p_value(outcomes: Outcomes, threshold: float) -> dict[str, Any]:
    """Test whether the tax falls on the deceptive quadrant more than blindly; ties are left out."""
    right = outcomes.correct["weak_to_strong_none"] == 1
    right &= outcomes.correct["weak_to_strong"] != 0.5
    taxed = right & (outcomes.taxed == 1)
    in_quadrant = quadrant_masks(outcomes, threshold)[DECEPTIVE]
    table = {
        "right": int(right.sum()),
        "right_in_quadrant": int((right & in_quadrant).sum()),
        "taxed": int(taxed.sum()),
        "taxed_in_quadrant": int((taxed & in_quadrant).sum()),
    }
    result: dict[str, Any] = {"method": "exact permutation (hypergeometric)", **table}
    if not table["taxed"]:
        return {"value": None, "reason": "no pair was taxed", **result}
    return {"value": round(permutation_p_value(*table.values()), DECIMALS), **result}


def _described(tree: Mapping[str, Any], pairs: int, level: float) -> dict[str, Any]:
    """Turn every statistic in a tree of them into its JSON form."""
    return {
        key: _figure(node, pairs, level)
        if isinstance(node, Statistic)
        else _described(node, pairs, level)
        for key, node in tree.items()
    }


def _figure(statistic: Statistic, pairs: int, level: float) -> dict[str, Any]:
    value, resampled = statistic.values[0], statistic.values[1:]
    if np.isnan(value):
        return {"value": None, "interval": None, "reason": statistic.undefined}
    figure: dict[str, Any] = {"value": round(float(value), DECIMALS)}
    if pairs == 1:
        return figure | {"interval": None, "reason": "one pair has no spread to resample"}
    if statistic.interval is not None:
        return figure | {
            "interval": [round(bound, DECIMALS) for bound in statistic.interval(level)]
        }
    interval = percentile_interval(resampled, level)
    if interval.defined < 1:
        figure["defined"] = interval.defined
    if interval.bounds is None:
        reason = f"undefined in more than half of the resamples: {statistic.undefined}"
        return figure | {"interval": None, "reason": reason}
    return figure | {"interval": [round(bound, DECIMALS) for bound in interval.bounds]}


def _rounded(bins: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: round(value, DECIMALS) for name, value in of_bin.items()} for of_bin in bins]


def _sha256(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); predict again") from error
