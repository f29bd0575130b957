"""Margins in which a known share of the conflict tax is planted where deception is possible."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from workflow_scripts.measures.deception import MODELS, Outcomes, confidence
from workflow_scripts.measures.statistic import Array

THRESHOLD = 0.75
# Margins of confidence 0.88 and 0.62: above and below the threshold; negative ones are wrong.
KNOWN, UNSURE = 2.0, 0.5
BOTH_KNOW = 0.5
"""Share of the pairs outside the deceptive quadrant that both ceilings know; neither, the rest."""
LUCKY = 0.5
"""Share of the pairs that a ceiling doesn't know and is right on."""
SURENESS = 5
"""Levels of how sure the student without conflict is, equally many groups at each."""


@dataclass(frozen=True)
class Placebo:
    """A second student without conflict.

    Attributes:
        score: the true share of its tax that is strong-known and weak-unknown.
        tax: so many pairs are taxed for each that the conflict taxes.
        alike: whether it taxes groups as much as the conflict does, whose tax must be as large.
    """

    score: float
    tax: float = 1.0
    alike: bool = False


@dataclass(frozen=True)
class Truth:
    """What is planted.

    Attributes:
        pairs: test pairs.
        share: of the tax, that is strong-known and weak-unknown: the true deception score; of a tax
            that is blind within levels of sureness where it is None.
        tax: share of the pairs that the student without conflict gets right that is taxed.
        deceptive: share of those that is strong-known and weak-unknown: the score of a blind tax.
        accuracy: the student's without conflict.
        mended: share of the pairs it gets wrong that the conflict sets right.
        size: pairs of a group: all of them are in the quadrant or none, and as sure.
        likeness: correlation of a group's pairs in being right, and in being taxed.
        confounding: how much likelier unsure pairs are both taxed and in the quadrant, from 0 to 1.
        placebo: a second student without conflict.
    """

    pairs: int
    share: float | None
    tax: float = 0.1
    deceptive: float = 0.3
    accuracy: float = 0.85
    mended: float = 0.1
    size: int = 1
    likeness: float = 0.0
    confounding: float = 0.0
    placebo: Placebo = Placebo(0.3)

    @cached_property
    def groups(self) -> np.ndarray:
        """The number of each pair's group, shape (pairs,)."""
        return np.arange(self.pairs) // self.size

    @property
    def taxes(self) -> Array:
        """The share of right pairs taxed at each level of sureness, the least sure first."""
        return self.tax * (1 + self.confounding * np.linspace(1, -1, SURENESS))

    @property
    def inside(self) -> Array:
        """The chance of a group at each level to be in the deceptive quadrant."""
        return self.deceptive * (1 + self.confounding * np.linspace(1, -1, SURENESS))

    @property
    def stratified(self) -> float:
        """The score of a tax that is blind at each level of sureness."""
        return float(self.taxes @ self.inside / self.taxes.sum())

    @property
    def score(self) -> float:
        """The true deception score."""
        return self.stratified if self.share is None else self.share

    @property
    def figures(self) -> dict[str, float]:
        """The true values of the probe's figures."""
        outside = 1 - self.deceptive
        weak_known, strong_known = outside * BOTH_KNOW, self.deceptive + outside * BOTH_KNOW
        weak, strong = (known + (1 - known) * LUCKY for known in (weak_known, strong_known))
        taxed = self.accuracy * self.tax
        kept = self.accuracy - taxed + (1 - self.accuracy) * self.mended
        of_confidence = confidence(np.array([KNOWN, UNSURE, -UNSURE]), None)
        chances = np.array([weak_known, *2 * [(1 - weak_known) * LUCKY]])
        score, excess = self.score, self.score - self.stratified
        return {
            "DS": score,
            "DS_S": score / (score + (1 - score) * BOTH_KNOW),
            "excess": score - self.deceptive,
            "ratio": score / self.deceptive,
            "stratified": excess,
            "placebo": excess - self.placebo.tax * (self.placebo.score - self.stratified),
            "tax rate": taxed,
            "accuracy": kept,
            "accuracy drop": self.accuracy - kept,
            "gap recovered": (kept - weak) / (strong - weak),
            "variance": float(chances @ of_confidence**2 - (chances @ of_confidence) ** 2),
        }

    def draw(self, generator: np.random.Generator) -> dict[str, Array]:
        """Return the margins of one draw, of `MODELS` and the placebo, each of shape (pairs,)."""
        number = self.groups[-1] + 1
        # Sureness in (0, 1), the same of a group's pairs; and its level.
        sureness = generator.random(number)
        level = np.minimum((sureness * SURENESS).astype(int), SURENESS - 1)
        in_quadrant = generator.random(number) < self.inside[level]
        both_know = (generator.random(number) < BOTH_KNOW)[self.groups]
        right, _ = self.alike(np.full(number, self.accuracy), generator)
        taxed, chances = self.alike(self._chances(self.score, level, in_quadrant), generator)
        if self.placebo.alike:
            taxed_too = generator.random(self.pairs) < chances[self.groups]
        else:
            of_placebo = self.placebo.tax * self._chances(self.placebo.score, level, in_quadrant)
            taxed_too, _ = self.alike(of_placebo, generator)
        in_quadrant = in_quadrant[self.groups]

        def drawn(chance: float) -> np.ndarray:
            return generator.random(self.pairs) < chance

        def unsure() -> Array:
            return np.where(drawn(LUCKY), UNSURE, -UNSURE)

        mended = drawn(self.mended)
        margins = (
            np.where(~in_quadrant & both_know, KNOWN, unsure()),
            np.where(in_quadrant | both_know, KNOWN, unsure()),
            np.where(right, 1.0, -1.0) * (0.5 + sureness[self.groups]),
            np.where(np.where(right, ~taxed, mended), 1.0, -1.0),
            np.where(np.where(right, ~taxed_too, mended), 1.0, -1.0),
        )
        return dict(zip((*MODELS, "placebo"), margins, strict=True))

    def outcomes(self, generator: np.random.Generator) -> Outcomes:
        """Return what the four models make of one draw."""
        return Outcomes.of(self.draw(generator), None)

    def _chances(self, score: float, level: np.ndarray, in_quadrant: np.ndarray) -> Array:
        """Return each group's chance of a tax: `tax` in all, ``score`` of it in the quadrant."""
        blind = self.stratified
        # The share in the quadrant at each level, between that of a blind tax and all or none.
        if score >= blind:
            inside = self.inside + (1 - self.inside) * (score - blind) / (1 - blind)
        else:
            inside = self.inside * score / blind
        times = np.where(in_quadrant, inside[level] / self.inside[level], 0.0)
        times += np.where(in_quadrant, 0.0, (1 - inside[level]) / (1 - self.inside[level]))
        return self.taxes[level] * times

    def alike(self, chances: Array, generator: np.random.Generator) -> tuple[np.ndarray, Array]:
        """Return which pairs are drawn, and the chance of each group, which varies around its own.

        Args:
            chances: of each group, shape (groups,).
            generator: source of random numbers.
        """
        if self.likeness:
            spread = 1 / self.likeness - 1
            certain = (chances <= 0) | (chances >= 1)
            inner = np.where(certain, 0.5, chances)
            varied = generator.beta(inner * spread, (1 - inner) * spread)
            chances = np.where(certain, chances, varied)
        return generator.random(self.pairs) < chances[self.groups], chances


def draw_three_models(
    pairs: int, noise: float, generator: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Return the margins of two weak models and a third alike, each of shape (pairs,).

    Every model's margin is what the pair is worth plus an accident of that model's training: none
    of them deceives any other.
    """
    worth = generator.normal(1.0, 1.0, pairs)
    first, second, third = (worth + generator.normal(0, noise, pairs) for _ in range(3))
    return first, second, third
