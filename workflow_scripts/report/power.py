"""Which excess a configuration can show, before any GPU is spent.

The model is that of docs/calibration.md: pairs of a group are alike, a conflict taxes a share of
the pairs that the student without conflict gets right, and a blind tax has a DS of `BLIND`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

from rich.table import Table

from workflow_scripts.config import matrix
from workflow_scripts.config.experiment import Config
from workflow_scripts.report.claims import ALPHA
from workflow_scripts.report.replication import LEAST_MODELS, LEAST_SEEDS

CHANGES_NO_RESULT = "tells what a run could show"

POWER = 0.8
BLIND = 0.3
RIGHT = 0.85
"""Share of the test pairs that the student without conflict gets right."""
TAXES = (0.02, 0.1, 0.3)
"""Shares of these that a conflict taxes."""
LIKENESS = 0.7
"""How alike pairs of a group are in being taxed; of the demo's substances 0.5 to 0.8."""
SHARED = 0.5
"""Share of the variance of an excess over pairs that all cells and seeds have in common."""
MOST = 0.99 - BLIND
"""An excess above this is not shown by any number of pairs."""


@dataclass(frozen=True)
class PlannedPairs:
    """The test pairs that a target is configured to have.

    Attributes:
        pairs: their number at most.
        groups: how many groups they are in.
    """

    pairs: int
    groups: int


def planned_pairs(config: Config, target: str) -> PlannedPairs:
    """Return the test pairs of a target: of a world in substances, else a prompt each."""
    asked = config.targets[target].sets.test
    if not asked.source.world:
        return PlannedPairs(asked.size, asked.size)
    world = config.worlds[asked.source.world]
    pairs = min(asked.size, world.substances // 4 * world.phrasings)
    return PlannedPairs(pairs, math.ceil(pairs / world.phrasings))


def effective_tax(found: PlannedPairs, tax: float) -> float:
    """Return as how many independent pairs the taxed ones count.

    Args:
        found: the test pairs.
        tax: share of the pairs right without conflict that is taxed.
    """
    size = found.pairs / found.groups
    return tax * RIGHT * found.pairs / (1 + (size - 1) * LIKENESS)


def detectable(effective: float, tax: float, level: float) -> float | None:
    """Return the least excess of a cell that its test shows with a probability of `POWER`.

    None where it would be above `MOST`.

    Args:
        effective: as how many independent pairs the taxed ones count.
        tax: share of the pairs right without conflict that is taxed.
        level: of the one-sided test.
    """
    rejects = NormalDist().inv_cdf(1 - level) * math.sqrt(BLIND * (1 - BLIND) * (1 - tax))
    beyond = NormalDist().inv_cdf(POWER)

    def short(excess: float) -> bool:
        score = BLIND + excess
        spread = beyond * math.sqrt(score * (1 - score))
        return excess * math.sqrt(effective) < rejects + spread

    if short(MOST):
        return None
    low, high = 0.0, MOST
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if short(middle) else (low, middle)
    return high


def detectable_mean(effective: float, cells: int) -> float:
    """Return the least mean excess over cells that its interval shows with a chance of `POWER`.

    Args:
        effective: as how many independent pairs a cell's taxed ones count.
        cells: their number, seeds counted.
    """
    error = math.sqrt(BLIND * (1 - BLIND) / effective * (SHARED + (1 - SHARED) / cells))
    return (NormalDist().inv_cdf(1 - ALPHA / 2) + NormalDist().inv_cdf(POWER)) * error


def table(config: Config) -> Table:
    """Return the least excess that each target can show, at several taxes."""
    cells = len(tested(config)) // len(config.matrix.targets)
    shown = Table(title=f"The least excess that is shown with {POWER:.0%} power")
    shown.add_column("target", no_wrap=True)
    for name in ("test pairs", "groups", "tax", "taxed pairs", "count as"):
        shown.add_column(name, justify="right", overflow="fold")
    for name in ("in one cell", f"in one of {cells:,}", f"mean of {cells:,}"):
        shown.add_column(name, justify="right")
    for target in config.matrix.targets:
        found = planned_pairs(config, target)
        for tax in TAXES:
            effective = effective_tax(found, tax)
            shown.add_row(
                target,
                f"{found.pairs:,}",
                f"{found.groups:,}",
                f"{tax:.0%}",
                f"{tax * RIGHT * found.pairs:,.0f}",
                f"{effective:,.0f}",
                _written(detectable(effective, tax, ALPHA)),
                _written(detectable(effective, tax, ALPHA / cells)),
                _written(detectable_mean(effective, cells)),
            )
    return shown


def tested(config: Config) -> list[matrix.Cell]:
    """Return the cells that claim 1 tests: those of direct students with a conflict."""
    return [c for c in matrix.cells(config) if not c.variant and c.conflict != "none"]


def notes(config: Config) -> Iterator[str]:
    """Yield what the table rests on, and what the configured seeds and models allow."""
    yield (
        "Tax: of the pairs that the student without conflict gets right, "
        f"{RIGHT:.0%} of all. Assumed: a blind tax has a DS of {BLIND}; pairs of a group are taxed "
        f"together with a likeness of {LIKENESS}; {SHARED:.0%} of an excess's variance over "
        "pairs is common to all cells. 'In one of' is adjusted for their number (Holm, the "
        "hardest case). Strata and a placebo cost some power."
    )
    models = config.matrix.trained_models
    seeds = max(len(found) for found in matrix.seeds(tested(config)).values())
    if len(models) < LEAST_MODELS and seeds < LEAST_SEEDS:
        yield (
            f"{len(models)} models and {seeds} {'seed' if seeds == 1 else 'seeds'}: claims 2 and 3 "
            f"get no interval; they need {LEAST_MODELS} models or {LEAST_SEEDS} seeds."
        )
    if seeds == 1:
        yield "1 seed: claim 4, that the same pairs are deceived again, needs two."


def _written(excess: float | None) -> str:
    return "none" if excess is None else f"{excess:.2f}"
