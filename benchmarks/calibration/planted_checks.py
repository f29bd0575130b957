"""Planted truth for the checks on a score: a seed before, and lengths of responses."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.calibration.planted import BOTH_KNOW, KNOWN, LUCKY, THRESHOLD, UNSURE, Truth
from workflow_scripts.measures.deception import DECEPTIVE, MODELS, Outcomes, quadrant_masks
from workflow_scripts.measures.excess import nulls, tallies
from workflow_scripts.measures.nulls import stratified_blind
from workflow_scripts.measures.statistic import Array

LONGEST = 200
"""Characters by which one response is longer at most."""
LARGE = 1_000_000
"""Pairs of the sample that stands for all that there could be."""
TAX_OF_LARGE = 0.25
"""Its tax: how much is taxed changes no share of it, and a large one is known better."""


@dataclass(frozen=True)
class SeedBefore:
    """Four models of the seed before, next to those of a planted truth without confounding.

    Attributes:
        now: what is planted under this seed.
        shared: chance of a pair that this weak model doesn't know to be unknown to the one before.
        anew: the same of a pair that this weak model knows.
        again: share of the groups of which both seeds tax the same pairs; each taxes as much.
    """

    now: Truth
    shared: float
    anew: float = 0.2
    again: float = 0.0

    @property
    def selection(self) -> dict[str, float]:
        """The true figures of the selection control."""
        now = self.now
        inside, outside = now.deceptive, 1 - now.deceptive
        unknown = inside + outside * (1 - BOTH_KNOW)
        of_tax = now.score + (1 - now.score) * (1 - BOTH_KNOW)
        right, taxed, mended = now.accuracy, now.accuracy * now.tax, now.mended
        base = right + (1 - right) * mended
        control = unknown * self.shared + (1 - unknown) * self.anew
        of_tax_control = of_tax * self.shared + (1 - of_tax) * self.anew
        accuracy = base - taxed * of_tax / unknown
        accuracy_control = base - taxed * of_tax_control / control
        score = now.score * self.shared + (1 - now.score) * BOTH_KNOW * self.anew
        return {
            "shared": self.shared,
            "accuracy": accuracy,
            "accuracy_control": accuracy_control,
            "accuracy_difference": accuracy - accuracy_control,
            "score": score,
            "score_difference": now.score - score,
        }

    @property
    def repeats(self) -> dict[str, float]:
        """The true figures of the repeats."""
        chance = self.now.tax * self.now.score / self.now.deceptive
        share = self.again + (1 - self.again) * chance
        return {"share": share, "baseline": chance, "difference": share - chance}

    def draw(
        self, margins: Mapping[str, Array], generator: np.random.Generator
    ) -> dict[str, Array]:
        """Return margins of `MODELS` of the seed before, each of shape (pairs,).

        Args:
            margins: of `MODELS`, a draw of ``now``.
            generator: source of random numbers.
        """
        now, groups = self.now, self.now.groups
        number = groups[-1] + 1
        outcomes = Outcomes.of(margins, None)
        # Of a group, all pairs are in the quadrant or none is, and all are known or none is.
        in_quadrant, weak_known = np.zeros(number, bool), np.zeros(number, bool)
        in_quadrant[groups] = quadrant_masks(outcomes, THRESHOLD)[DECEPTIVE]
        weak_known[groups] = outcomes.confidence["weak"] >= THRESHOLD
        unknown, _ = now.alike(np.where(weak_known, self.anew, self.shared), generator)
        right, _ = now.alike(np.full(number, now.accuracy), generator)
        blind, score = now.deceptive, now.score
        times = np.where(in_quadrant, score / blind, (1 - score) / (1 - blind))
        taxed, _ = now.alike(now.tax * times, generator)
        same = (generator.random(number) < self.again)[groups]
        taxed = np.where(same, outcomes.taxed > 0, taxed)
        unsure = np.where(generator.random(now.pairs) < LUCKY, UNSURE, -UNSURE)
        before = (
            np.where(unknown, unsure, KNOWN),
            margins["strong"],
            np.where(right, 1.0, -1.0),
            np.where(right & ~taxed, 1.0, -1.0),
        )
        return dict(zip(MODELS, before, strict=True))


@dataclass(frozen=True)
class Lengths:
    """Lengths of the responses to a planted truth without confounding: the shorter one wins more.

    Attributes:
        now: what is planted under this seed.
        inside: chance of a pair in the deceptive quadrant that its shorter response wins.
        outside: the same of another pair.
        equal: chance of responses of equal length, which neither rule explains.
    """

    now: Truth
    inside: float
    outside: float
    equal: float = 0.02

    def figures(self, generator: np.random.Generator) -> dict[str, float]:
        """Return the true figures of the length cue.

        The baseline has no formula: groups are sorted into strata by their lengths, which go with
        the quadrant. It is that of a sample a thousand times as large as a test set.

        Args:
            generator: source of that sample.
        """
        blind, score, unequal = self.now.deceptive, self.now.score, 1 - self.equal
        inside, outside = (1 - unequal * rate for rate in (self.inside, self.outside))
        score = score * inside / (score * inside + (1 - score) * outside)
        left = blind * inside + (1 - blind) * outside
        baseline = self._baseline(generator)
        return {
            "accuracy": 1 - left + self.equal / 2,
            "pairs": self.now.pairs * left,
            "score": score,
            "baseline": baseline,
            "difference": score - baseline,
        }

    def draw(self, margins: Mapping[str, Array], generator: np.random.Generator) -> Array:
        """Return by how many characters the chosen response is longer, shape (pairs,).

        Args:
            margins: of `MODELS`, a draw of ``now``.
            generator: source of random numbers.
        """
        now = self.now
        in_quadrant = np.zeros(now.groups[-1] + 1, bool)
        in_quadrant[now.groups] = quadrant_masks(Outcomes.of(margins, None), THRESHOLD)[DECEPTIVE]
        shorter, _ = now.alike(np.where(in_quadrant, self.inside, self.outside), generator)
        by = generator.integers(1, LONGEST, now.pairs, endpoint=True)
        by[generator.random(now.pairs) < self.equal] = 0
        return np.where(shorter, -by, by).astype(np.float64)

    def _baseline(self, generator: np.random.Generator) -> float:
        large = replace(self, now=replace(self.now, pairs=LARGE, tax=TAX_OF_LARGE))
        margins = large.now.draw(generator)
        longer = large.draw(margins, generator)
        outcomes, groups = Outcomes.of(margins, None), large.now.groups
        stratum = nulls(outcomes, groups, longer, None, [THRESHOLD]).stratum
        left = (longer >= 0).astype(np.float64)
        right, taxed = left * outcomes.correct["weak_to_strong_none"], left * outcomes.taxed
        tally, _ = tallies(outcomes, THRESHOLD, right, taxed, groups)
        return stratified_blind(tally, stratum).value
