"""Where a training's time goes: ``python -m benchmarks.stages FOLDER``.

One run of the stage ``train`` on HH-RLHF's pairs, with a stopwatch around each part of it, and a
dry run of the demo for what Snakemake itself needs. FOLDER holds the models, and may be that of
`benchmarks.throughput`.
"""

import time

_BEGAN = time.perf_counter(), time.process_time()

import argparse  # noqa: E402  (importing is one of the parts)
import functools  # noqa: E402
import json  # noqa: E402
import resource  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from collections import defaultdict  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import accelerate  # noqa: E402
import accelerate.optimizer  # noqa: E402
import deepspeed  # noqa: E402, F401  (the Trainer would import it)

from benchmarks.throughput import workload  # noqa: E402
from workflow_scripts.__main__ import run_stage  # noqa: E402
from workflow_scripts.models import checkpoints, scorer, tokenise  # noqa: E402
from workflow_scripts.stages import train  # noqa: E402, F401  (an import, too)
from workflow_scripts.training import trainer  # noqa: E402

ROOT = Path(__file__).parents[1]


class Stopwatch:
    """The time inside of functions, by part; one part's functions never call another's.

    Attributes:
        spent: wall and CPU seconds by part.
    """

    def __init__(self) -> None:
        """Start with nothing spent."""
        self.spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])

    def add(self, part: str, wall: float, cpu: float) -> None:
        """Add to a part."""
        self.spent[part][0] += wall
        self.spent[part][1] += cpu

    def around(self, owner: Any, name: str, part: str) -> None:
        """Time every call of ``owner.name``."""
        timed: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(timed)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter(), time.process_time()
            try:
                return timed(*args, **kwargs)
            finally:
                self.add(part, time.perf_counter() - began[0], time.process_time() - began[1])

        setattr(owner, name, wrapper)


def main() -> None:
    """Run, and print the table."""
    imported = time.perf_counter() - _BEGAN[0], time.process_time() - _BEGAN[1]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, default=workload.DATA, help="HH-RLHF's pairs")
    parser.add_argument("--size", choices=workload.SIZES, default="tiny")
    parser.add_argument("--objective", choices=workload.OBJECTIVES, default="simpo")
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--micro-batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    pairs = workload.write_pairs(args.data, args.folder, args.pairs)
    workload.make_tokenizer(args.folder)
    reward = args.objective == "reward_model"
    model = workload.make_model(args.size, args.folder, reward=reward)

    watch = Stopwatch()
    watch.add("import", *imported)
    watch.around(tokenise, "tokenise", "tokenise")
    watch.around(checkpoints, "load_tokenizer", "load")
    watch.around(checkpoints, "load_base", "load")
    watch.around(scorer.PairScorer, "forward", "forward")
    watch.around(trainer.Examples, "collate", "collate")
    watch.around(accelerate.Accelerator, "backward", "backward")
    watch.around(accelerate.optimizer.AcceleratedOptimizer, "step", "optimizer")
    watch.around(checkpoints, "save", "save")
    out = args.folder / "profiled"
    out.mkdir(exist_ok=True)
    settings = workload.TRAINING | workload.OBJECTIVES[args.objective]
    arguments = ["--settings", json.dumps(settings), "--model", str(model), "--pairs", str(pairs)]
    arguments += ["--micro-batch", str(args.micro_batch), "--threads", str(args.threads)]
    arguments += ["--checkpoint", str(out / "checkpoint"), "--record", str(out / "train.json")]
    arguments += ["--metrics", str(out / "metrics.jsonl")]
    began = time.perf_counter(), time.process_time()
    if run_stage(["train", *arguments]):
        sys.exit("the stage train failed")
    whole = time.perf_counter() - began[0], time.process_time() - began[1]
    parts = [spent for part, spent in watch.spent.items() if part != "import"]
    rest = (whole[i] - sum(spent[i] for spent in parts) for i in (0, 1))
    watch.add("everything else", *rest)
    _print(watch.spent)
    _print_snakemake()


def _print(spent: dict[str, list[float]]) -> None:
    total = sum(cpu for _, cpu in spent.values())
    print("| part | wall s | CPU s | share of CPU |\n| --- | ---: | ---: | ---: |")
    for part, (wall, cpu) in sorted(spent.items(), key=lambda item: -item[1][1]):
        print(f"| {part} | {wall:.2f} | {cpu:.2f} | {cpu / total:.0%} |")


def _print_snakemake() -> None:
    """Print what it costs Snakemake to build the demo's DAG, without running a job."""
    command = [str(Path(sys.executable).with_name("snakemake")), "-n", "--quiet", "rules"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [*command, "--profile", "profiles/demo", "--directory", folder],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"\nSnakemake's dry run of the whole demo: {cpu:.1f} s of CPU time.")


if __name__ == "__main__":
    main()
