"""Measure the probe and the report on planted truth: ``python -m benchmarks.calibration``."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from benchmarks.calibration import checks, seeds
from benchmarks.calibration.measure import (
    TESTS,
    Covered,
    bootstrapped,
    coverage,
    rejections,
    selection,
)
from benchmarks.calibration.planted import Placebo, Truth
from benchmarks.calibration.planted_checks import Lengths, SeedBefore
from benchmarks.calibration.runs import CONFLICTS, simulated_run
from workflow_scripts.core.atomic import atomic_path
from workflow_scripts.report.claims import (
    Verdict,
    bootstrapping_mitigates,
    deception_exists,
    deception_repeats,
    grows_with_the_gap,
)

DOCS = Path(__file__).parents[2] / "docs"
ACCURACY = 0.85
DESIGNS = ((1000, 1, 0.0), (200, 5, 0.3), (200, 5, 0.7), (40, 25, 0.3))
"""Numbers of groups, pairs in each, and how alike these are."""
TAXED = (5, 20, 50, 100)
SCORES = (0.02, 0.3, 0.75, 0.98)
BLIND = 0.3
AGAINST_NULLS = ("excess", "ratio", "stratified", "placebo")
FIGURES = ("DS", "DS_S", *AGAINST_NULLS, "tax rate", "accuracy", "accuracy drop")
MOSTLY = 0.5
"""Share of draws with an interval below which a coverage is not told either."""
LARGEST = ("largest bias", "standard errors from 0, at most")
CLAIMS = (deception_exists, grows_with_the_gap, bootstrapping_mitigates, deception_repeats)


class Run(NamedTuple):
    """A run in which nobody deceives anybody, as `simulated_run` takes it."""

    models: int
    seeds: int
    tax: tuple[int, int] = (3, 25)
    shared: float = 0.0
    prone: bool = False
    retrained: float = 0.0


RUNS = (
    Run(3, 1),
    Run(3, 1, (20, 50), prone=True),
    Run(3, 1, (20, 50), retrained=0.3),
    Run(3, 3),
    Run(3, 3, (20, 50)),
    Run(3, 3, shared=0.5, prone=True),
    Run(3, 3, (20, 50), retrained=0.3),
    Run(7, 1),
    Run(7, 1, (20, 50), prone=True),
    Run(7, 1, (20, 50), retrained=0.3),
    Run(7, 3),
    Run(7, 3, shared=0.5, prone=True),
)
POWER_PAIRS = (250, 500, 1000, 2000)
EXCESSES = (0.1, 0.2, 0.4)
NOISES = (0.0, 0.5, 1.0, 2.0)
Lines = Iterator[str]
T = TypeVar("T")


def main() -> None:
    """Write docs/calibration.SECTION.md of each section asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; all if none")
    parser.add_argument("--draws", type=int, default=1000, help="draws of each truth")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder to write to")
    args = parser.parse_args()
    for name in args.sections or SECTIONS:
        lines = list(SECTIONS[name](args.draws, np.random.default_rng(0)))
        with atomic_path(args.docs / f"calibration.{name}.md") as partial:
            partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print("\n".join(lines), flush=True)


def _intervals(draws: int, generator: np.random.Generator) -> Lines:
    names = [*FIGURES]
    yield from _header("groups", "of pairs", "likeness", "taxed", "DS", "told", *names)
    fared: list[Covered] = []
    for groups, size, likeness in DESIGNS:
        for taxed in TAXED:
            for score in SCORES:
                planted = _truth(groups, size, likeness, taxed, score)
                fared.append(found := coverage(planted, draws, generator))
                design = (groups, size, likeness, taxed, f"{score:.2f}", f"{found.told:.0%}")
                yield _row(*design, *_rates(found, names))
    yield ""
    yield from _biases(fared, names)
    yield ""
    yield from _header("groups", "of pairs", "likeness", "gap recovered", "variance")
    for groups, size, likeness in DESIGNS:
        planted = _truth(groups, size, likeness, 100, 0.5)
        of_figures = bootstrapped(planted, draws // 2, generator).values()
        yield _row(groups, size, likeness, *(f"{found.covered:.1%}" for found in of_figures))


def _rates(found: Covered, names: Sequence[str]) -> list[str]:
    """Write how often each figure's interval held, where it is mostly told."""
    return [
        f"{found.figures[name].covered:.1%}" if _is_told(found, name) else "(few)" for name in names
    ]


def _biases(fared: Sequence[Covered], names: Sequence[str]) -> Lines:
    """Write each figure's largest bias over the truths whose intervals are mostly told."""
    yield from _header("figure", *LARGEST)
    for name in names:
        yield _row(name, *_largest_bias(fared, name))


def _largest_bias(fared: Sequence[Covered], name: str) -> list[str]:
    told = [found.figures[name] for found in fared if _is_told(found, name)]
    if not told:
        return ["(few)"] * len(LARGEST)
    largest = max((of_truth.bias for of_truth in told), key=abs)
    errors = max(abs(of_truth.bias) / of_truth.error for of_truth in told)
    return [f"{largest:+.3f}", f"{errors:.1f}"]


def _is_told(found: Covered, name: str) -> bool:
    return found.told >= MOSTLY or name in found.untaxed


def _checks(draws: int, generator: np.random.Generator) -> Lines:
    def selected(now: Truth, picks: tuple[float, float]) -> Covered:
        return checks.selection_coverage(SeedBefore(now, *picks), draws, generator)

    def without_length(now: Truth, cue: tuple[float, float, float]) -> Covered:
        return checks.length_coverage(Lengths(now, *cue), draws, generator)

    def repeated(now: Truth, again: float) -> Covered:
        return checks.repeats_coverage(SeedBefore(now, 0.7, again=again), draws, generator)

    picked = product(TAXED[1:], SCORES, checks.PICKS)
    yield from _checked("selection: unknown again", checks.SELECTION, [*picked], selected)
    yield ""
    for taxes, cues in ((TAXED[2:], checks.CUES), (TAXED[3:], [checks.EVEN])):
        explained = product(taxes, SCORES, cues)
        yield from _checked("length: shorter wins", checks.LENGTH, [*explained], without_length)
        yield ""
    # At the least score hardly any pair is deceived, under one seed or two.
    deceived = product(TAXED[2:], SCORES[1:], checks.AGAIN)
    yield from _checked("repeats: taxed again", checks.REPEATS, [*deceived], repeated)


def _checked(
    planted: str,
    names: Sequence[str],
    truths: Sequence[tuple[int, float, T]],
    measured: Callable[[Truth, T], Covered],
) -> Lines:
    """Write how a check's figures fare, and their biases, by design, tax, score and a value."""
    yield from _header("groups", "of pairs", "likeness", "taxed", "DS", planted, "told", *names)
    fared: dict[int, list[Covered]] = {size: [] for _, size, _ in DESIGNS}
    for groups, size, likeness in DESIGNS:
        for taxed, score, value in truths:
            found = measured(_truth(groups, size, likeness, taxed, score), value)
            fared[size].append(found)
            design = (groups, size, likeness, taxed, f"{score:.2f}", value, f"{found.told:.0%}")
            yield _row(*design, *_rates(found, names))
    yield ""
    yield from _header("of pairs", "figure", *LARGEST)
    for size, name in product(fared, names):
        yield _row(size, name, *_largest_bias(fared[size], name))


def _tests(draws: int, generator: np.random.Generator) -> Lines:
    yield from _header("groups", "of pairs", "likeness", "taxed", "null", "told", *TESTS)
    pooled: dict[str, list[list[float]]] = {}
    for groups, size, likeness in DESIGNS:
        for taxed in TAXED:
            blind = _truth(groups, size, likeness, taxed, BLIND)
            unsure = replace(blind, share=None, confounding=0.6)
            unsure = replace(unsure, placebo=Placebo(unsure.stratified))
            half = replace(blind, share=BLIND + 0.15, placebo=Placebo(BLIND + 0.3, tax=0.5))
            whole = replace(blind, share=BLIND + 0.3, placebo=Placebo(BLIND + 0.3))
            nulls = {
                "blind": blind,
                "unsure pairs": unsure,
                "half a placebo": half,
                "a placebo": whole,
            }
            for name, planted in nulls.items():
                told, rates = rejections(planted, draws, generator)
                if told >= MOSTLY:
                    pooled.setdefault(name, []).append(rates)
                texts = _of_null(name, rates)
                yield _row(groups, size, likeness, taxed, name, f"{told:.0%}", *texts)
    for name, all_rates in pooled.items():
        texts = _of_null(name, list(np.mean(all_rates, axis=0)))
        yield _row("mean", "", "", "", name, "mostly", *texts)


def _of_null(name: str, rates: list[float]) -> list[str]:
    """Write rates of rejection, but for those of tests whose null it isn't."""
    others = ("blind", "stratified") if name.endswith("a placebo") else ()
    return [
        "-" if test in others else f"{rate:.1%}" for test, rate in zip(TESTS, rates, strict=True)
    ]


def _seeds(draws: int, generator: np.random.Generator) -> Lines:
    names = [*seeds.FIGURES, seeds.TWO_WAY]
    yield from _header("DS", "redrawn", "seeds differ by", "seeds", *names)
    for score in (0.3, 0.75):
        for redrawn, of_seed in ((0.1, 0.0), (0.5, 0.0), (1.0, 0.0), (1.0, 0.1)):
            for number in (2, 3, 5, 10):
                rates = seeds.covered(number, redrawn, of_seed, score, draws, generator)
                yield _row(
                    score, f"{redrawn:.0%}", of_seed, number, *(f"{rate:.1%}" for rate in rates)
                )


def _claims(draws: int, generator: np.random.Generator) -> Lines:
    numbers = [f"claim {number}" for number in range(1, len(CLAIMS) + 1)]
    yield from _header(
        *("models", "seeds", "groups taxed", "shared", "placebo's excess", "runs"),
        *(*numbers, "any `does not hold`"),
    )
    for run in RUNS:
        runs = draws if run.models == 3 else draws // 2
        conflicts = CONFLICTS if run.models == 3 else CONFLICTS[:1]
        held, refuted = np.zeros(len(CLAIMS)), 0
        for _ in range(runs):
            rows = simulated_run(generator, conflicts=conflicts, **run._asdict())
            verdicts = [claim(rows).verdict for claim in CLAIMS]
            held += [verdict.startswith("holds") for verdict in verdicts]
            refuted += Verdict.DOES_NOT in verdicts
        rates = [f"{rate:.1%}" for rate in held / runs]
        if run.seeds == 1 or run.shared:
            # With one seed nothing repeats; where seeds share their tax, it does.
            rates[-1] = "-" if run.seeds == 1 else f"true: {rates[-1]}"
        common = "cells and seeds" if run.shared else "cells" if run.prone else "nothing"
        taxed = f"{run.tax[0]} to {run.tax[1]}"
        design = (run.models, run.seeds, taxed, common, run.retrained, runs)
        yield _row(*design, *rates, f"{refuted / runs:.1%}")


def _power(draws: int, generator: np.random.Generator) -> Lines:
    yield from _header("excess", *(f"{pairs:,} pairs" for pairs in POWER_PAIRS))
    for excess in EXCESSES:
        found = [
            rejections(Truth(pairs, BLIND + excess), draws // 2, generator)[1]
            for pairs in POWER_PAIRS
        ]
        yield _row(excess, *(f"{rates[1]:.0%} / {rates[3]:.0%}" for rates in found))
    yield ""
    yield from _header("accident of training", "weak model that picked", "another", "control")
    for noise in NOISES:
        of_noise = selection(noise, 200_000, generator)
        yield _row(noise, *(f"{value:.3f}" for value in of_noise[1:]))


def _truth(groups: int, size: int, likeness: float, taxed: int, score: float) -> Truth:
    pairs = groups * size
    return Truth(pairs, score, tax=taxed / ACCURACY / pairs, size=size, likeness=likeness)


def _header(*names: str) -> Lines:
    yield _row(*names)
    yield "|" + " ---: |" * len(names)


def _row(*cells: object) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


SECTIONS: dict[str, Callable[[int, np.random.Generator], Lines]] = {
    "intervals": _intervals,
    "checks": _checks,
    "tests": _tests,
    "seeds": _seeds,
    "claims": _claims,
    "power": _power,
}


if __name__ == "__main__":
    main()
