"""All figures of a probe, as its JSON file has them (docs/method.md)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from workflow_scripts.core import seeds
from workflow_scripts.measures.cues import length_cue
from workflow_scripts.measures.deception import (
    CORRECTNESS_THRESHOLD,
    MODELS,
    Deception,
    Outcomes,
    correctness,
    deception,
    generalization,
    knowledge_columns,
    model_columns,
)
from workflow_scripts.measures.excess import NO_TAX, Nulls, excess, nulls, whole_tallies
from workflow_scripts.measures.misfit import misfit, misfit_columns
from workflow_scripts.measures.nulls import Tally, p_values
from workflow_scripts.measures.probed_pairs import ProbedPairs
from workflow_scripts.measures.reliability import reliability
from workflow_scripts.measures.repeats import NOT_REPEATED, repeats, repeats_figures
from workflow_scripts.measures.resampling import percentile_interval, resampled_sums
from workflow_scripts.measures.selection_control import control, control_columns
from workflow_scripts.measures.statistic import Array, Statistic, Sum

SELECTION = "selection"
MISFIT = "misfit"
NO_SEED_BEFORE = "this is the first seed"
DECIMALS = 12
"""Digits kept: more would show the order in which a linear algebra library adds."""
INFLUENCE_DECIMALS = 9
ROUNDS_OF_RESAMPLES = 2
"""Rounds of permutations that are as many as the resamples."""

BEFORE = {f"{model}_before": model for model in MODELS}
"""What the margins of the seed before are called, and the models that they are of."""
PLACEBO = "placebo"
"""The margins of a second student without conflict."""


def probed(
    margins: Mapping[str, Array], pairs: ProbedPairs, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a probe holds besides its settings and inputs.

    Args:
        margins: of `MODELS`, of `BEFORE` where there is a seed before, and of `PLACEBO` where there
            is one; each of shape (pairs,).
        pairs: the test pairs.
        settings: the cell and how it is probed.
    """
    outcomes = Outcomes.of(margins, settings["beta"])
    return {
        "pairs": len(outcomes.taxed),
        "groups": pairs.number_of_groups,
        **figures(outcomes, margins, pairs, settings),
        "reliability": {
            model: _rounded(reliability(outcomes.confidence[model], outcomes.correct[model]))
            for model in MODELS
        },
    }


def figures(
    outcomes: Outcomes,
    others: Mapping[str, Array],
    pairs: ProbedPairs,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return every figure of a probe, each as its value, interval and, where null, reason.

    Args:
        outcomes: what the cell's four models make of the test pairs.
        others: margins of `BEFORE` and `PLACEBO`, where there are any.
        pairs: the test pairs.
        settings: the cell and how it is probed.
    """
    main, beta = settings["threshold"], settings["beta"]
    thresholds = list(dict.fromkeys([main, CORRECTNESS_THRESHOLD, *settings["sweep"]]))
    before = Outcomes.of({BEFORE[n]: others[n] for n in BEFORE}, beta) if _has(others) else None
    columns: dict[tuple[float | str | None, str], Array] = {}
    for name, column in model_columns(outcomes).items():
        columns[None, name] = column
    columns |= {(MISFIT, name): column for name, column in misfit_columns(outcomes).items()}
    for threshold in sorted(thresholds):
        for name, column in knowledge_columns(outcomes, threshold).items():
            columns[threshold, name] = column
    if before is not None:
        selected = control_columns(outcomes, before.confidence["weak"], main)
        columns |= {(SELECTION, name): column for name, column in selected.items()}
    cell, resamples = _cell(settings), settings["resamples"]
    permutations = resamples // ROUNDS_OF_RESAMPLES
    sums = resampled_sums(columns, pairs.groups, resamples, seeds.generator(cell))

    def sums_of(part: float | str | None) -> dict[str, Sum]:
        return {name: values for (owner, name), values in sums.items() if owner == part}

    described = _Described(len(outcomes.taxed), pairs.number_of_groups, settings["interval"])
    placebo = others.get(PLACEBO)
    compared = nulls(
        outcomes,
        pairs.groups,
        pairs.longer,
        None if placebo is None else correctness(placebo),
        thresholds,
    )
    at = {threshold: deception(sums_of(threshold)) for threshold in thresholds}
    tested = _p_values(
        whole_tallies(outcomes, thresholds, pairs.groups), compared, cell, permutations
    )
    trees = {
        threshold: _deception(at[threshold], threshold, compared, tested[place], described)
        for place, threshold in enumerate(thresholds)
    }
    return described(generalization(sums_of(None)) | misfit(sums_of(MISFIT))) | {
        "deception": trees[main],
        "deception_by_correctness": trees[CORRECTNESS_THRESHOLD],
        "deception_by_threshold": [trees[threshold] for threshold in settings["sweep"]],
        "selection_control": {"reason": NO_SEED_BEFORE}
        if before is None
        else described(vars(control(sums_of(SELECTION)))),
        "length": described(
            length_cue(outcomes, main, pairs.longer, pairs.groups, compared.stratum)
        ),
        "repeats": {"reason": NO_SEED_BEFORE}
        if before is None
        else _repeats(outcomes, before, pairs, compared, described, settings),
        "influences": _influences(at[main].tally, compared),
    }


def _has(others: Mapping[str, Array]) -> bool:
    return all(name in others for name in BEFORE)


def _cell(settings: Mapping[str, Any]) -> str:
    """Return the name that seeds a cell's resamples, the same for its direct student and variants.

    So their figures vary together over resamples, as over the test pairs that they share.
    """
    names = [settings[key] for key in ("target", "scenario", "weak", "strong", "conflict")]
    return "/".join(["probe", *names, f"seed{settings['seed']}"])


class _Described:
    """Turns statistics into their JSON form."""

    def __init__(self, pairs: int, groups: int, level: float) -> None:
        self._pairs = pairs
        self._groups = groups
        self._level = level

    def __call__(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        """Return a tree of statistics with each in its JSON form; texts and numbers stay."""
        return {key: self._node(node) for key, node in tree.items()}

    def _node(self, node: Any) -> Any:
        if isinstance(node, Statistic):
            return self._figure(node)
        return self(node) if isinstance(node, Mapping) else node

    def _figure(self, statistic: Statistic) -> dict[str, Any]:
        value, resampled = statistic.values[0], statistic.values[1:]
        if np.isnan(value):
            return {"value": None, "interval": None, "reason": statistic.undefined}
        figure: dict[str, Any] = {"value": round(float(value), DECIMALS)}
        if self._groups == 1:
            kind = "pair" if self._pairs == 1 else "group of pairs"
            return figure | {"interval": None, "reason": f"one {kind} has no spread to resample"}
        if statistic.interval is not None:
            return figure | {
                "interval": [round(bound, DECIMALS) for bound in statistic.interval(self._level)]
            }
        interval = percentile_interval(resampled, self._level)
        if interval.defined < 1:
            figure["defined"] = interval.defined
        if interval.bounds is None:
            reason = f"undefined in more than half of the resamples: {statistic.undefined}"
            return figure | {"interval": None, "reason": reason}
        return figure | {"interval": [round(bound, DECIMALS) for bound in interval.bounds]}


def _deception(
    at: Deception,
    threshold: float,
    compared: Nulls,
    tested: Mapping[str, dict[str, Any]],
    described: _Described,
) -> dict[str, Any]:
    tree = described(
        {
            "quadrants": at.quadrants,
            "deception_score": at.score,
            "deception_score_strong_known": at.score_strong_known,
            "excess_deception": {
                "baseline": at.baseline,
                "ratio": at.excess_ratio,
                **compared.against(at.tally, threshold, strong_known=False),
            },
            "excess_deception_strong_known": compared.against(
                at.tally_strong_known, threshold, strong_known=True
            ),
            "blind_spot_deception": at.blind_spot,
        }
    )
    of_excess = tree["excess_deception"]
    of_excess["p_value"] = tested["blind"]
    of_excess["stratified"] |= {
        "strata": int(compared.stratum.max()) + 1,
        "p_value": tested["stratified"],
    }
    if threshold in compared.placebo:
        p_value = compared.placebo_p_value(at.tally, threshold)
        of_excess["placebo"]["p_value"] = _told(p_value, NO_TAX)
    effective = at.tally.score.effective if at.tally.taxed.sum() else 0.0
    return {"threshold": threshold, "effective_tax": round(effective or 0.0, DECIMALS), **tree}


def _p_values(
    tallies: list[Tally], compared: Nulls, cell: str, permutations: int
) -> list[dict[str, dict[str, Any]]]:
    """Test, at each threshold, whether the tax seeks the deceptive quadrant; ties are left out."""
    one = np.zeros_like(compared.stratum)
    found = {
        name: _permuted(tallies, stratum, permutations, f"{cell}/{name}")
        for name, stratum in (("blind", one), ("stratified", compared.stratum))
    }
    return [
        {name: _p_value(of_name[place], tally) for name, of_name in found.items()}
        for place, tally in enumerate(tallies)
    ]


def _permuted(
    tallies: list[Tally], stratum: np.ndarray, permutations: int, name: str
) -> list[float | None]:
    if not tallies[0].taxed.sum():
        return [None] * len(tallies)
    return [*p_values(tallies, stratum, permutations, seeds.generator(name))]


def _p_value(value: float | None, tally: Tally) -> dict[str, Any]:
    table = {
        "right": int(tally.right.sum()),
        "right_in_quadrant": int(tally.right_marked.sum()),
        "taxed": int(tally.taxed.sum()),
        "taxed_in_quadrant": int(tally.taxed_marked.sum()),
    }
    return {"method": "permutation of groups", **table, **_told(value, NO_TAX)}


def _told(p_value: float | None, undefined: str) -> dict[str, Any]:
    """Return a p-value as a probe has it, or why there is none."""
    if p_value is None:
        return {"value": None, "reason": undefined}
    return {"value": round(p_value, DECIMALS)}


def _repeats(
    now: Outcomes,
    before: Outcomes,
    pairs: ProbedPairs,
    compared: Nulls,
    described: _Described,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    found = repeats(now, before, settings["threshold"], pairs.groups)
    name = f"{_cell(settings)}/repeats"
    permutations = settings["resamples"] // ROUNDS_OF_RESAMPLES
    (p,) = _permuted([found.tally], compared.stratum, permutations, name)
    return described(
        {
            "pairs": found.pairs,
            "deceived": found.deceived,
            "deceived_before": found.before,
            "deceived_in_both": int(found.tally.taxed_marked.sum()),
            **repeats_figures(found.tally, compared.stratum),
        }
    ) | {"p_value": _told(p, NOT_REPEATED)}


def _influences(tally: Tally, compared: Nulls) -> dict[str, list[float]] | None:
    """Return each group's influence on the score and on the stratified baseline; None untaxed."""
    beyond = excess(tally, compared.stratum)
    if beyond is None:
        return None
    return {
        name: [round(float(value), INFLUENCE_DECIMALS) for value in figure.influences]
        for name, figure in (("score", beyond.first), ("baseline", beyond.second))
    }


def _rounded(bins: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: round(value, DECIMALS) for name, value in bin_.items()} for bin_ in bins]
