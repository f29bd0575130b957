"""How long planning a large matrix takes: ``python -m benchmarks.planning``.

Eleven models, every pair of them, 3 scenarios, 4 conflicts and 5 seeds: 3,300 cells. Beside it
``bare.smk``: as many rules, files and jobs with nothing else. With ``--seeds 30``, 19,800 cells,
the workflow alone is planned, once.
"""

import argparse
import json
import platform
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SNAKEMAKE = Path(sys.executable).with_name("snakemake")
MODELS = [f"model{number}" for number in range(11)]
EXPERIMENT = {
    "matrix": {
        "targets": ["harmlessness"],
        "scenarios": ["reward_model", "simpo", "dpo"],
        "conflicts": ["none", "explicit", "implicit", "implicit_matched"],
        "models": MODELS,
        "seeds": list(range(5)),
    },
    "conflicts": {"placebo": None},
    "models": {name: {"id": f"benchmark/{name}", "revision": "0" * 40} for name in MODELS},
}


class Plan(NamedTuple):
    """A workflow to plan, and where."""

    snakefile: Path
    folder: Path
    configuration: tuple[str, ...]

    def arguments(self) -> list[str]:
        """Return Snakemake's options."""
        given = ["--snakefile", str(self.snakefile), "--directory", str(self.folder)]
        return [*given, *self.configuration]


def main() -> None:
    """Print both times and their ratio, with nothing done and with everything done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, the quickest counts")
    parser.add_argument("--seeds", type=int, help="plan as many seeds, with nothing done")
    args = parser.parse_args()
    print(f"Snakemake {version('snakemake')}, Python {platform.python_version()}, {_machine()}")
    with tempfile.TemporaryDirectory() as scratch:
        experiment = Path(scratch) / "experiment.json"
        experiment.write_text(json.dumps(EXPERIMENT))
        given = ("--configfile", str(experiment))
        if args.seeds:
            more = ("--config", f"matrix={{seeds: {list(range(args.seeds))}}}")
            plan = Plan(ROOT / "Snakefile", Path(scratch) / "workflow", (*given, *more))
            seconds = quickest(plan, 1)
            most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
            print(f"{660 * args.seeds:,} cells: {seconds:.1f} s, {most:.2f} GB")
            return
        plans = [
            Plan(ROOT / "Snakefile", Path(scratch) / "workflow", given),
            Plan(Path(__file__).with_name("bare.smk"), Path(scratch) / "bare", ()),
        ]
        counts = [jobs(plan) for plan in plans]
        assert counts[0] == counts[1], f"not the same jobs: {counts[0]}, {counts[1]}"
        print(f"{counts[0].pop('total'):,} jobs of {len(counts[0])} rules\n")
        print("| | workflow | bare Snakefile | ratio |\n|---|---:|---:|---:|")
        for state in ("nothing done", "everything done"):
            if state == "everything done":
                for plan in plans:
                    _run([sys.executable, "-m", "benchmarks.planning.finish", *plan.arguments()])
            ours, bare = (quickest(plan, args.repeats) for plan in plans)
            print(f"| {state} | {ours:.1f} s | {bare:.1f} s | {ours / bare:.2f} |", flush=True)


def jobs(plan: Plan) -> dict[str, int]:
    """Return the number of jobs of each rule, and of all as ``total``."""
    told = _run([str(SNAKEMAKE), "--dry-run", "--quiet", "rules", *plan.arguments()])
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", told, re.MULTILINE)}


def quickest(plan: Plan, repeats: int) -> float:
    """Return the processor seconds of ``snakemake -n --quiet``, the least of several runs.

    Processor time, since planning is one process and other work on the machine doesn't count.
    """
    seconds = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        _run([str(SNAKEMAKE), "--dry-run", "--quiet", "all", *plan.arguments()])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(seconds)


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    return done.stdout


def _machine() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return platform.processor()


if __name__ == "__main__":
    main()
