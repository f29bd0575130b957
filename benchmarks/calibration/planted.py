"""Margins in which a known share of the conflict tax is planted where deception is possible."""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Truth:
    """What is planted.

    Attributes:
        pairs: test pairs.
        share: of the tax, that is strong-known and weak-unknown: the true deception score.
        tax: share of the pairs that the student without conflict gets right that is taxed.
        deceptive: share of those that is strong-known and weak-unknown: the score of a blind tax.
        accuracy: the student's without conflict.
        mended: share of the pairs it gets wrong that the conflict sets right.
        size: pairs of a group: all of them are in the quadrant or none.
        likeness: correlation of a group's pairs in being right, and in being taxed.
    """

    pairs: int
    share: float
    tax: float = 0.1
    deceptive: float = 0.3
    accuracy: float = 0.85
    mended: float = 0.1
    size: int = 1
    likeness: float = 0.0

    @property
    def groups(self) -> np.ndarray:
        """The number of each pair's group, shape (pairs,)."""
        return np.arange(self.pairs) // self.size

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
        return {
            "DS": self.share,
            "DS_S": self.share / (self.share + (1 - self.share) * BOTH_KNOW),
            "excess": self.share - self.deceptive,
            "ratio": self.share / self.deceptive,
            "tax rate": taxed,
            "accuracy": kept,
            "accuracy drop": self.accuracy - kept,
            "gap recovered": (kept - weak) / (strong - weak),
            "variance": float(chances @ of_confidence**2 - (chances @ of_confidence) ** 2),
        }

    def draw(self, generator: np.random.Generator) -> dict[str, Array]:
        """Return the margins of one draw, by model, each of shape (pairs,)."""
        groups = self.groups

        def drawn(chance: float | Array) -> np.ndarray:
            return generator.random(self.pairs) < chance

        def alike(chance: float | Array) -> np.ndarray:
            """Return what is drawn with a chance of each group's own, which varies around this."""
            if not self.likeness:
                return drawn(chance)
            of_groups = np.broadcast_to(chance, self.pairs)[:: self.size]
            spread = 1 / self.likeness - 1
            certain = (of_groups <= 0) | (of_groups >= 1)
            inner = np.where(certain, 0.5, of_groups)
            varied = generator.beta(inner * spread, (1 - inner) * spread)
            return drawn(np.where(certain, of_groups, varied)[groups])

        in_quadrant, both_know = (
            (generator.random(groups[-1] + 1) < chance)[groups]
            for chance in (self.deceptive, BOTH_KNOW)
        )
        right = alike(self.accuracy)
        # Over right pairs these mix to `tax`, with `share` of it in the quadrant.
        chance = np.where(
            in_quadrant,
            self.tax * self.share / self.deceptive,
            self.tax * (1 - self.share) / (1 - self.deceptive),
        )
        right_under_conflict = np.where(right, ~alike(chance), drawn(self.mended))
        margins = (
            np.where(~in_quadrant & both_know, KNOWN, np.where(drawn(LUCKY), UNSURE, -UNSURE)),
            np.where(in_quadrant | both_know, KNOWN, np.where(drawn(LUCKY), UNSURE, -UNSURE)),
            np.where(right, 1.0, -1.0),
            np.where(right_under_conflict, 1.0, -1.0),
        )
        return dict(zip(MODELS, margins, strict=True))

    def outcomes(self, generator: np.random.Generator) -> Outcomes:
        """Return what the four models make of one draw."""
        return Outcomes.of(self.draw(generator), None)


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
