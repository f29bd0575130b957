"""Measure a matrix: ``python -m benchmarks.matrix FOLDER``.

The demo's base models and data are made first, untimed. Then the workflow runs a cut of the demo,
and after it a script for every cell and every ceiling, as the paper's code does, two at a time.
Both use two processes of one thread each.
"""

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.matrix.meter import Meter
from workflow_scripts.methods.conflicts.registry import CONFLICTS

ROOT = Path(__file__).parents[2]
TARGET = "substances"
AT_ONCE = 2


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of the results, empty at first")
    parser.add_argument(
        "--scenario", choices=("reward_model", "simpo"), default="simpo", help="of which cells"
    )
    parser.add_argument("--models", nargs="+", default=["small", "middle", "strong"])
    args = parser.parse_args()
    folder = args.folder.absolute()
    results = folder / "workflow/results"
    models = [f"results/models/{model}" for model in args.models]
    sets = [f"results/data/{TARGET}/{name}.parquet" for name in ("gt", "weak", "test", "helpful")]
    _workflow(args, *models, *sets)
    with Meter() as ours:
        _workflow(args)
    specifications = _scripts(results, args, folder)
    with Meter() as theirs, ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(_script, specifications))
    cells = len(specifications) - len(args.models)
    print("| way | cells | processes | CPU s | wall s |")
    print("| --- | ---: | ---: | ---: | ---: |")
    print(f"| a script a cell | {cells} | {_row(theirs)}")
    print(f"| this workflow | {cells} | {_row(ours)}")
    ratios = (theirs.cpu_seconds / ours.cpu_seconds, theirs.wall_seconds / ours.wall_seconds)
    print(f"| ratio | | | {ratios[0]:.2f} | {ratios[1]:.2f} |")
    print(f"\nMargins differ by at most {max(map(_difference, specifications)):.0e}.")


def _row(meter: Meter) -> str:
    return f"{meter.processes} | {meter.cpu_seconds:.0f} | {meter.wall_seconds:.0f} |"


def _difference(specification: Path) -> float:
    """Return how far a script's margins are from the workflow's, at most."""
    given = json.loads(specification.read_text())
    margins = pq.read_table(given["predictions"])["margin"].to_pylist()
    found = json.loads(Path(given["output"]).read_text())
    return max(abs(z - ours) for z, ours in zip(found, margins, strict=True))


def _workflow(args: argparse.Namespace, *targets: str) -> None:
    models = ", ".join(args.models)
    cut = f"matrix={{scenarios: [{args.scenario}], models: [{models}], more: []}}"
    command = [str(Path(sys.executable).with_name("snakemake")), *targets]
    command += ["--profile", "profiles/demo", "--quiet", "all"]
    command += ["--directory", str(args.folder.absolute() / "workflow"), "--config", cut]
    ran = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(ran.stderr[-3000:])


def _scripts(results: Path, args: argparse.Namespace, folder: Path) -> list[Path]:
    """Write every script's specification, with the settings and seeds of the workflow."""
    scenario = args.scenario

    def training(of: str, sft: str) -> dict[str, Any]:
        found = _settings(results / of)
        return found if scenario == "reward_model" else found | {"sft": _settings(results / sft)}

    ceilings = {model: f"ground_truth/{TARGET}/{scenario}/{model}/seed0" for model in args.models}
    settings = {
        model: training(ceiling, f"sft/{TARGET}/{model}/seed0")
        for model, ceiling in ceilings.items()
    }
    scripts: dict[str, dict[str, Any]] = {
        model: {"ceiling": settings[model], "model": model, "student": None, "predictions": ceiling}
        for model, ceiling in ceilings.items()
    }
    for weak, strong in combinations(args.models, 2):
        pair = f"{TARGET}/{scenario}/{weak}/{strong}"
        for kind in ("none", "explicit", "implicit"):
            cell = f"weak_to_strong/{pair}/{kind}/seed0"
            sft = f"student_sft/{pair}/{CONFLICTS[kind].supervision}/seed0"
            scripts[f"{weak}-to-{strong}-{kind}"] = {
                "ceiling": settings[weak],
                "model": weak,
                "student": training(cell, sft),
                "strong": strong,
                "predictions": cell,
            }
    made = []
    for name, script in scripts.items():
        path = folder / f"{name}.json"
        script["predictions"] = f"{results}/{script['predictions']}/predictions.parquet"
        script |= {"results": str(results), "target": TARGET}
        path.write_text(json.dumps(script | {"output": str(path.with_suffix(".margins"))}))
        made.append(path)
    return made


def _settings(training: Path) -> dict[str, Any]:
    return json.loads((training / "train.json").read_text())["settings"]


def _script(specification: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.matrix.script", str(specification)]
    ran = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(ran.stderr[-3000:])


if __name__ == "__main__":
    main()
