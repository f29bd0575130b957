"""All figures of a probe, as its JSON file has them (docs/method.md)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from workflow_scripts.core import seeds
from workflow_scripts.measures.deception import (
    CORRECTNESS_THRESHOLD,
    DECEPTIVE,
    MODELS,
    Outcomes,
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
from workflow_scripts.measures.statistic import Array, Statistic

SELECTION = "selection"
NO_CONTROL = "no earlier seed of the weak model was run"
DECIMALS = 12
"""Digits kept: more would show the order in which a linear algebra library adds."""


def probed(margins: Mapping[str, Array], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a probe holds besides its settings and inputs.

    Args:
        margins: of `MODELS`, and of ``control``, a second weak model, where there is one; each of
            shape (pairs,).
        settings: the cell and how it is probed.
    """
    outcomes = Outcomes.of(margins, settings["beta"])
    control_margins = margins.get("control")
    control_confidence = (
        None if control_margins is None else confidence(control_margins, settings["beta"])
    )
    return {
        "pairs": len(outcomes.taxed),
        **figures(outcomes, control_confidence, settings),
        "reliability": {
            model: _rounded(reliability(outcomes.confidence[model], outcomes.correct[model]))
            for model in MODELS
        },
    }


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
        return {name: values for (owner, name), values in sums.items() if owner == part}

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
    return [{name: round(value, DECIMALS) for name, value in bin_.items()} for bin_ in bins]
