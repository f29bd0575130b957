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
from workflow_scripts.conflicts import KINDS

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
    print("| way | cells | processes | CPU s | wall s | mean accuracy of the students |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    students = [path for path in specifications if "-to-" in path.stem]
    margins = [json.loads(path.with_suffix(".margins").read_text()) for path in students]
    accuracy = _accuracy([z for of_student in margins for z in of_student])
    row = f"| a script a cell | {len(students)} "
    print(row + _row(theirs, accuracy))
    files = list((results / "weak_to_strong").rglob("predictions.parquet"))
    accuracy = _accuracy([z for file in files for z in pq.read_table(file)["margin"].to_pylist()])
    print(f"| this workflow | {len(files)} " + _row(ours, accuracy))
    ratios = (theirs.cpu_seconds / ours.cpu_seconds, theirs.wall_seconds / ours.wall_seconds)
    print(f"| ratio | | | {ratios[0]:.2f} | {ratios[1]:.2f} | |")


def _row(meter: Meter, accuracy: float) -> str:
    times = f"{meter.cpu_seconds:.0f} | {meter.wall_seconds:.0f}"
    return f"| {meter.processes} | {times} | {accuracy:.3f} |"


def _accuracy(margins: list[float]) -> float:
    return sum(z > 0 for z in margins) / len(margins)


def _workflow(args: argparse.Namespace, *targets: str) -> None:
    cut = f"matrix={{scenarios: [{args.scenario}], models: [{', '.join(args.models)}]}}"
    command = [str(Path(sys.executable).with_name("snakemake")), *targets]
    command += ["--profile", "profiles/demo", "--quiet", "all"]
    command += ["--directory", str(args.folder.absolute() / "workflow"), "--config", cut]
    ran = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(ran.stderr[-3000:])


def _scripts(results: Path, args: argparse.Namespace, folder: Path) -> list[Path]:
    """Write every script's specification, with the settings and seeds of the workflow."""
    scenario = args.scenario

    def settings(training: str, sft: str) -> dict[str, Any]:
        found = _settings(results / training)
        return found if scenario == "reward_model" else found | {"sft": _settings(results / sft)}

    ceilings = {
        model: settings(
            f"ground_truth/{TARGET}/{scenario}/{model}/seed0", f"sft/{TARGET}/{model}/seed0"
        )
        for model in args.models
    }
    scripts: dict[str, dict[str, Any]] = {
        model: {"ceiling": ceiling, "model": model, "student": None}
        for model, ceiling in ceilings.items()
    }
    for weak, strong in combinations(args.models, 2):
        pair = f"{TARGET}/{scenario}/{weak}/{strong}"
        for kind in ("none", "explicit", "implicit"):
            sft = f"student_sft/{pair}/{KINDS[kind].supervision}/seed0"
            scripts[f"{weak}-to-{strong}-{kind}"] = {
                "ceiling": ceilings[weak],
                "model": weak,
                "student": settings(f"weak_to_strong/{pair}/{kind}/seed0", sft),
                "strong": strong,
            }
    made = []
    for name, script in scripts.items():
        path = folder / f"{name}.json"
        files = {
            "results": str(results),
            "target": TARGET,
            "output": str(path.with_suffix(".margins")),
        }
        path.write_text(json.dumps(script | files))
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
