"""Does a cell's interval over seeds hold the truth, where all seeds share their test pairs?"""

import numpy as np

from workflow_scripts.measures.excess import excess
from workflow_scripts.measures.intervals import Proportion
from workflow_scripts.measures.nulls import Tally
from workflow_scripts.report.cells import BLIND, EXCESS, LEVEL, SCORE, CellRow, influences_of
from workflow_scripts.report.over_seeds import over_seeds

GROUPS, SIZE, LIKENESS = 200, 5, 0.7
DECEPTIVE, TAX = 0.3, 0.1
RATE = "conflict_tax_rate"
FIGURES = {"DS": SCORE, "excess": EXCESS, "tax rate": RATE}
TWO_WAY = "excess by a two-way bootstrap"
RESAMPLES = 500


def covered(
    seeds: int,
    redrawn: float,
    of_seed: float,
    score: float,
    draws: int,
    generator: np.random.Generator,
) -> list[float]:
    """Return how often the interval over seeds of each of `FIGURES` holds the truth, and `TWO_WAY`.

    Args:
        seeds: their number.
        redrawn: the share of the groups whose tax a seed draws anew; the others all seeds share.
        of_seed: standard deviation of a seed's own planted score.
        score: the planted deception score, the mean over all seeds that there could be.
        draws: runs to draw.
        generator: source of random numbers.
    """
    truths = {"DS": score, "excess": score - DECEPTIVE, "tax rate": TAX}
    held = dict.fromkeys((*FIGURES, TWO_WAY), 0)
    for _ in range(draws):
        inside = generator.random(GROUPS) < DECEPTIVE
        common = _taxed(inside, score, generator)
        rows = []
        for _ in range(seeds):
            own = float(np.clip(generator.normal(score, of_seed), 0.01, 0.99))
            anew = generator.random(GROUPS) < redrawn
            rows.append(_row(inside, np.where(anew, _taxed(inside, own, generator), common)))
        for name, figure in FIGURES.items():
            _, low, high = over_seeds(rows, figure)
            held[name] += low is not None and high is not None and low <= truths[name] <= high
        low, high = _two_way(rows, generator)
        held[TWO_WAY] += low <= truths["excess"] <= high
    return [number / draws for number in held.values()]


def _two_way(rows: list[CellRow], generator: np.random.Generator) -> list[float]:
    """Return the percentile interval of the mean excess with seeds and groups drawn again.

    What a resample of groups does to a seed's excess is taken from their influences.
    """
    found = [row for row in rows if EXCESS in row]
    values = np.array([row[EXCESS] for row in found])
    moved = np.array([row[influences_of(SCORE)] - row[influences_of(BLIND)] for row in found])
    of_seeds, of_groups = (
        generator.multinomial(number, np.full(number, 1 / number), RESAMPLES)
        for number in moved.shape
    )
    of_seeds = of_seeds / len(found)
    means = of_seeds @ values + ((of_seeds @ moved) * (of_groups - 1)).sum(axis=1)
    return [float(end) for end in np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])]


def _taxed(inside: np.ndarray, score: float, generator: np.random.Generator) -> np.ndarray:
    """Return how many pairs of each group are taxed, shape (groups,)."""
    chances = TAX * np.where(inside, score / DECEPTIVE, (1 - score) / (1 - DECEPTIVE))
    spread = 1 / LIKENESS - 1
    return generator.binomial(SIZE, generator.beta(chances * spread, (1 - chances) * spread))


def _row(inside: np.ndarray, taxed: np.ndarray) -> CellRow:
    right = np.full(GROUPS, float(SIZE))
    tally = Tally(right, right * inside, taxed.astype(float), (taxed * inside).astype(float))
    rate = Proportion.of_groups(tally.taxed, right)
    low, high = rate.interval(LEVEL)
    row = {RATE: rate.value, f"{RATE}_low": low, f"{RATE}_high": high}
    beyond = excess(tally, np.zeros(GROUPS, dtype=np.int64))
    if beyond is None:
        return row
    return row | {
        SCORE: beyond.first.value,
        BLIND: beyond.second.value,
        EXCESS: beyond.value,
        influences_of(SCORE): beyond.first.influences,
        influences_of(BLIND): beyond.second.influences,
    }
