"""Measure the probe on planted truth: ``python -m benchmarks.calibration``."""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.calibration.measure import Coverage, coverage, rejection_rate, selection
from benchmarks.calibration.planted import Truth
from workflow_scripts.core.atomic import atomic_path
from workflow_scripts.report.figures.style import (
    COLUMN,
    CONFLICT_STYLES,
    in_force,
    new_figure,
    save,
)

DOCS = Path(__file__).parents[2] / "docs"
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
SIZES = (250, 1000, 4000)
BLIND = 0.3
"""The score of a blind tax, at which the power is measured too."""
EXCESSES = (0.0, 0.1, 0.2, 0.4)
POWER_SIZES = (125, 250, 500, 1000, 2000, 4000)
NOISES = (0.0, 0.5, 1.0, 2.0)
FEW = (2, 5, 10, 20, 50, 100, 200)
"""Expected numbers of taxed pairs, and between which planted scores their coverage is told."""
INNER_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
GROUPED = ((1000, 1, 0.0), (200, 5, 0.3), (200, 5, 0.7))
"""Numbers of groups, pairs in each, and how alike these are."""
GROUPED_TAXES = (5, 20, 100)
GROUPED_SHARES = (0.02, 0.3, 0.75, 0.98)
GROUPED_FIGURES = ("DS", "DS_S", "excess", "ratio")
MORE = 10
"""How many times as many draws where nothing is resampled: they cost next to nothing."""


def main() -> None:
    """Write docs/calibration.tables.md and docs/figures/calibration_*.{svg,png}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--draws",
        type=int,
        default=500,
        help=f"draws of each truth that are resampled; {MORE} times as many are drawn",
    )
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder to write to")
    parser.add_argument(
        "--groups", action="store_true", help="only docs/calibration.groups.md, of pairs in groups"
    )
    args = parser.parse_args()
    generator = np.random.default_rng(0)
    if args.groups:
        _write(args.docs / "calibration.groups.md", _grouped_table(args.draws, generator))
        return
    covered = [
        (planted, found)
        for planted in _truths()
        for found in coverage(
            planted, MORE * args.draws, args.draws if _is_resampled(planted) else 0, generator
        )
    ]
    few = {
        taxed: [
            coverage(_with_taxed(taxed, share), MORE * args.draws, 0, generator)
            for share in INNER_SHARES
        ]
        for taxed in FEW
    }
    power = {
        excess: [
            rejection_rate(Truth(pairs, BLIND + excess), 2 * args.draws, generator)
            for pairs in POWER_SIZES
        ]
        for excess in EXCESSES
    }
    tables = (
        _coverage_table(covered),
        _few_table(few),
        _power_table(power),
        _selection_table(generator),
    )
    lines = [line for table in tables for line in ("", *table)][1:]
    _write(args.docs / "calibration.tables.md", lines)
    with in_force():
        save(_coverage_figure(covered), args.docs / "figures/calibration_coverage")
        save(_power_figure(power), args.docs / "figures/calibration_power")


def _write(path: Path, lines: list[str]) -> None:
    with atomic_path(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _grouped_table(draws: int, generator: np.random.Generator) -> list[str]:
    """Return, of pairs in groups, how often intervals hold the truth and the blind test rejects."""
    lines = [
        "| groups | of pairs | likeness | taxed | planted DS "
        "| DS | DS_S | excess | ratio | rejected |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for groups, size, likeness in GROUPED:
        for taxed in GROUPED_TAXES:
            for share in GROUPED_SHARES:
                tax = taxed / (0.85 * groups * size)
                planted = Truth(groups * size, share, tax=tax, size=size, likeness=likeness)
                found = {one.figure: one.covered for one in coverage(planted, draws, 0, generator)}
                rejected = ""
                if share == BLIND:
                    rejected = f"{rejection_rate(planted, draws, generator):.1%}"
                covered = " | ".join(f"{found[name]:.1%}" for name in GROUPED_FIGURES)
                names = f"{groups} | {size} | {likeness} | {taxed} | {share}"
                lines.append(f"| {names} | {covered} | {rejected} |")
    return lines


def _truths() -> list[Truth]:
    others = (
        Truth(1000, 0.5, accuracy=0.6),
        Truth(1000, 0.5, tax=0.02),
        Truth(1000, 0.75, tax=0.3),
    )
    return [Truth(pairs, share) for pairs in SIZES for share in SHARES] + list(others)


def _is_resampled(planted: Truth) -> bool:
    """Return whether a truth is among those resampled: large ones at a single planted score.

    The figures without a formula don't depend on it.
    """
    return planted.pairs == min(SIZES) or planted.share == 0.5 or planted.tax > 0.1


def _with_taxed(number: int, share: float) -> Truth:
    """Return a truth of as many pairs as are taxed ``number`` times on average."""
    planted = Truth(1, share)
    return replace(planted, pairs=round(number / planted.figures["tax rate"]))


def _coverage_table(covered: list[tuple[Truth, Coverage]]) -> list[str]:
    lines = [
        "| pairs | accuracy | taxed | planted DS | figure | draws | truth | mean estimate "
        "| bias / its SE | covered | by percentiles |",
        "| ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for planted, found in covered:
        bias = (found.mean - found.truth) / found.error if found.error else 0.0
        percentile = "" if found.percentile is None else f"{found.percentile:.1%}"
        lines.append(
            f"| {planted.pairs:,} | {planted.accuracy:.2f} | {planted.tax:.0%} "
            f"| {planted.share:.2f} | {found.figure} | {found.draws:,} | {found.truth:+.3f} "
            f"| {found.mean:+.3f} | {bias:+.1f} | {found.covered:.1%} | {percentile} |"
        )
    return lines


def _few_table(few: dict[int, list[list[Coverage]]]) -> list[str]:
    names = [found.figure for found in few[FEW[0]][0]]
    lines = [
        f"| taxed pairs expected | {' | '.join(names)} |",
        "| ---: |" + " ---: |" * len(names),
    ]
    for taxed, of_shares in few.items():
        ranges = [
            f"{min(found.covered for found in of_figure):.1%} to "
            f"{max(found.covered for found in of_figure):.1%}"
            for of_figure in zip(*of_shares, strict=True)
        ]
        lines.append(f"| {taxed} | {' | '.join(ranges)} |")
    return lines


def _power_table(power: dict[float, list[float]]) -> list[str]:
    header = " | ".join(f"{pairs:,}" for pairs in POWER_SIZES)
    lines = [f"| excess | {header} |", "| ---: |" + " ---: |" * len(POWER_SIZES)]
    for excess, rates in power.items():
        lines.append(f"| {excess:.1f} | " + " | ".join(f"{rate:.1%}" for rate in rates) + " |")
    return lines


def _selection_table(generator: np.random.Generator) -> list[str]:
    lines = [
        "| accident of training | weak model that picked | another just like it "
        "| the other, pairs picked by a second |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for noise in NOISES:
        found = selection(noise, 200_000, generator)
        lines.append(
            f"| {noise:.1f} | {found.weak:.3f} | {found.other:.3f} | {found.control:.3f} |"
        )
    return lines


def _coverage_figure(covered: list[tuple[Truth, Coverage]]) -> Figure:
    figure = new_figure(2 * COLUMN, 2.6)
    panels = figure.subplots(1, 3, sharey=True)
    for panel, name in zip(panels, ("DS", "excess", "ratio"), strict=True):
        panel.axhspan(0.93, 0.97, color="#eeeeee", label="93 to 97 %")
        for pairs, (colour, marker) in zip(SIZES, CONFLICT_STYLES, strict=False):
            of_size = [
                (planted.share, found)
                for planted, found in covered
                if planted == Truth(pairs, planted.share) and found.figure == name
            ]
            style = {"color": colour, "marker": marker, "markersize": 4}
            shares = [share for share, _ in of_size]
            rates = [found.covered for _, found in of_size]
            panel.plot(shares, rates, label=f"n = {pairs:,}", **style)
            rates = [found.percentile for _, found in of_size]
            if None not in rates:
                style |= {"fillstyle": "none", "linestyle": ":"}
                panel.plot(shares, rates, label=f"n = {pairs:,}, percentiles", **style)
        panel.set(title=name, ylim=(0.85, 1.005), xlabel="planted DS")
    panels[0].set_ylabel("share of 95 % intervals\nthat hold the truth")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False
    )
    return figure


def _power_figure(power: dict[float, list[float]]) -> Figure:
    figure = new_figure(1.4 * COLUMN, 2.8)
    axes = figure.subplots()
    axes.axhline(0.05, color="#999999", linewidth=0.8, linestyle=":")
    for (excess, rates), (colour, marker) in zip(power.items(), CONFLICT_STYLES, strict=False):
        label = "blind tax" if excess == 0 else f"excess {excess:.1f}"
        axes.plot(POWER_SIZES, rates, color=colour, marker=marker, markersize=4, label=label)
    axes.set_xscale("log")
    axes.set_xticks(POWER_SIZES, [f"{pairs:,}" for pairs in POWER_SIZES])
    axes.minorticks_off()
    axes.set_xlabel("test pairs (10 % of the right ones taxed)")
    axes.set_ylabel("share of draws with p < 0.05")
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    return figure


if __name__ == "__main__":
    main()
