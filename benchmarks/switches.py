"""Measure what each switch of docs/method.md changes: ``python -m benchmarks.switches FOLDER``.

A small experiment is run as it is, then once for each switch; Snakemake makes again what the switch
changes. Another seed is the yardstick: a switch that changes less is lost in the noise of training.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from workflow_scripts.methods.compat import Compat

ROOT = Path(__file__).parents[1]
TAX, SCORE = "conflict_tax_rate", "deception_score"
MEASURED = (TAX, SCORE, "accuracy_weak", "accuracy_weak_to_strong", "accuracy_strong")
NAMES = ("target", "scenario", "weak", "strong", "conflict", "student")


def main() -> None:
    """Run the experiment under each switch and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of the results, empty at first")
    parser.add_argument("--profile", default="profiles/demo")
    parser.add_argument("--weak", default="small")
    parser.add_argument("--strong", default="strong")
    parser.add_argument(
        "--filter", type=float, default=0.75, help="least confidence of labels that are kept"
    )
    parser.add_argument("--config", nargs="*", default=[], help="more settings, for every run")
    parser.add_argument("--only", nargs="*", help="these switches alone")
    args = parser.parse_args()
    switches = {name: f"compat={{{name}: reference}}" for name in Compat.model_fields}
    switches["data_order: shuffled_once"] = "training={data_order: shuffled_once}"
    switches["another seed"] = "matrix={seeds: [1]}"
    base = args.folder.absolute() / "fixed"
    if said := _run(base, args, seed=0):
        sys.exit(said)
    print("| switch | models that differ | margins, in spreads | accuracy | tax | DS |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, setting in switches.items():
        if args.only and name not in args.only:
            continue
        folder = base.with_name(name.replace(": ", "_").replace(" ", "_"))
        if not folder.exists():
            shutil.copytree(base, folder, symlinks=True)
        seed = int(name == "another seed")
        said = _run(folder, args, seed, *(() if seed else (setting,)))
        told = [said, *4 * "-"] if said else _compared(base, folder, seed)
        print(f"| {name} | {' | '.join(told)} |", flush=True)


def _run(folder: Path, args: argparse.Namespace, seed: int, *more: str) -> str | None:
    """Run the experiment; return what went wrong, in the words of the first job that failed.

    Anything else that goes wrong ends the measurement.
    """
    students = f"[{{name: direct}}, {{name: high_confidence, filter: {args.filter}}}]"
    cut = (
        f"matrix={{models: null, pairs: [[{args.weak}, {args.strong}]], seeds: [{seed}], more: [], "
        f"conflicts: [none, explicit, implicit_matched], students: {students}}}"
    )
    command = [str(Path(sys.executable).with_name("snakemake")), "--profile", args.profile]
    command += ["--directory", str(folder), "--quiet", "all", "--config", cut]
    command += ["conflicts={placebo: null}", *args.config, *more]
    ran = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if not ran.returncode:
        return None
    error = re.search(r"error: (?:\S+: )?(.*)", ran.stderr)
    return error[1] if error else sys.exit(ran.stderr[-3000:])


def _compared(base: Path, folder: Path, seed: int) -> Iterator[str]:
    """Yield a row's numbers: of the models that differ, how far margins and accuracies moved."""
    shifts, accuracies, models = [], [], 0
    for file in sorted((base / "results").glob("*/**/predictions.parquet")):
        place = str(file.relative_to(base)).replace("/seed0/", f"/seed{seed}/")
        here, there = _margins(file), _margins(folder / place)
        common = sorted(here.keys() & there.keys())
        old, new = (np.array([of[pair] for pair in common]) for of in (here, there))
        models += 1
        if len(here) != len(there) or (old != new).any():
            shifts.append(float(np.abs(new - old).mean() / old.std()))
            accuracies.append(float((new > 0).mean() - (old > 0).mean()))
    yield f"{len(shifts)} of {models}"
    yield _mean(shifts)
    yield _mean([abs(shift) for shift in accuracies])
    rows, others = _cells(base), _cells(folder)
    moved = [
        (row, others[cell])
        for cell, row in rows.items()
        if row["conflict"] != "none" and any(row[name] != others[cell][name] for name in MEASURED)
    ]
    yield _mean([abs(new[TAX] - old[TAX]) for old, new in moved])
    defined = [
        (old[SCORE], new[SCORE]) for old, new in moved if None not in (old[SCORE], new[SCORE])
    ]
    yield _mean([abs(new - old) for old, new in defined])


def _mean(values: Sequence[float]) -> str:
    return f"{fmean(values):.3f}" if values else "-"


def _margins(file: Path) -> dict[str, float]:
    table = pq.ParquetFile(file).read()
    return dict(zip(table["id"].to_pylist(), table["margin"].to_pylist(), strict=True))


def _cells(folder: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    rows = pq.ParquetFile(folder / "results/report/cells.parquet").read().to_pylist()
    return {tuple(row[name] for name in NAMES): row for row in rows}


if __name__ == "__main__":
    main()
