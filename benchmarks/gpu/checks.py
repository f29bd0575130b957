"""What is right or wrong on a GPU, whatever its speed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback, trainer

from benchmarks.throughput import __main__ as throughput
from benchmarks.throughput import ours
from workflow_scripts.core.kernels import Kernel
from workflow_scripts.data.pairs import read_pairs
from workflow_scripts.methods.compat import Compat
from workflow_scripts.methods.scenarios.registry import scenario_class
from workflow_scripts.models import checkpoints, margins
from workflow_scripts.models.scorer import PairScorer
from workflow_scripts.reruns import provenance

SCORED = 64
"""Pairs whose margins are compared in both precisions."""
LONG = 4
"""The training that is interrupted shows its pairs so many times, to be long enough."""


def weights(model: Path) -> Iterable[torch.Tensor]:
    """Yield the weights of a model's folder."""
    for file in model.glob("*.safetensors"):
        yield from load_file(file).values()


def waits_per_step(given: Mapping[str, Any], folder: Path) -> float | None:
    """Return how often a step waits for the GPU, None where there is none."""
    if not torch.cuda.is_available():
        return None
    counter = throughput.Contestant("waits", [sys.executable, "-m", "benchmarks.gpu.checks"])
    return throughput.measured(counter, dict(given), folder)["waits"]


def margins_off_by(model: Path, pairs: Path, objective: Mapping[str, Any], kernel: Kernel) -> float:
    """Return the mean distance of margins in bfloat16 from those in float32, in their spreads.

    Those in float32 are of the dense mask, whatever the kernel.
    """
    read = read_pairs(str(pairs))
    few = read.at(np.arange(min(SCORED, len(read))))
    readout = scenario_class(objective["objective"]).readout(Compat())
    sequences = margins.tokenised(str(model), few, Compat(), throughput.workload.MAX_LENGTH)
    both = []
    for low_precision in (False, True):
        opened = checkpoints.load_trained(model, readout)
        scorer = PairScorer(
            opened,
            readout,
            low_precision=low_precision,
            kernel=kernel if low_precision else "dense",
        )
        scores = margins.in_batches(scorer, sequences, 8 * throughput.workload.MAX_LENGTH)
        both.append(scores[: len(few)] - scores[len(few) :])
    exact, rounded = both
    return float(np.abs(rounded - exact).mean() / exact.std())


def resumes(given: Mapping[str, Any], folder: Path) -> bool:
    """Return whether a training that SIGTERM interrupts ends in the bytes of one that none does."""
    unbroken, broken = folder / "unbroken", folder / "broken"
    for place in (unbroken, broken):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
    assert _start(given, unbroken).wait() == 0, (unbroken / "log").read_text()
    interrupted = _start(given, broken)
    while not _has_lines(broken / "metrics.jsonl"):
        assert interrupted.poll() is None, (broken / "log").read_text()
        time.sleep(0.05)
    interrupted.send_signal(signal.SIGTERM)
    assert interrupted.wait() != 0, "it ended before it could be interrupted; give more --steps"
    assert _start(given, broken).wait() == 0, (broken / "log").read_text()
    assert "going on after step" in (broken / "log").read_text()
    ends = [provenance.content(place / "checkpoint")["sha256"] for place in (unbroken, broken)]
    return ends[0] == ends[1]


def _start(given: Mapping[str, Any], folder: Path) -> subprocess.Popen[bytes]:
    """Start a training whose checkpoint, record and state are in ``folder``."""
    settings = given["settings"] | {"epochs": LONG}
    more = []
    if settings["objective"] == "dpo":
        # Made by the measurement of speed, which goes before.
        more = ["--reference", f"{folder.parent}/run/reference.parquet"]
    command = [
        sys.executable,
        "-m",
        "workflow_scripts",
        "train",
        "--settings",
        json.dumps(settings),
    ]
    command += ["--model", given["model"], "--pairs", given["pairs"], *more]
    command += ["--micro-batch", str(given["micro_batch"]), "--threads", str(given["threads"])]
    command += ["--attention", given["attention"]]
    command += ["--checkpoint", f"{folder}/checkpoint", "--record", f"{folder}/train.json"]
    command += ["--metrics", f"{folder}/metrics.jsonl", "--states", f"{folder}/states"]
    with (folder / "log").open("a") as log:
        return subprocess.Popen(command, cwd=throughput.ROOT, stdout=log, stderr=log)


def _has_lines(metrics: Path) -> bool:
    return metrics.exists() and bool(metrics.read_text())


class _Waits(TrainerCallback):
    """Counts torch's warnings of operations that wait for the GPU, after the first step."""

    def __init__(self) -> None:
        self.steps = 0
        self.count = 0

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Begin to count with the first step's end."""
        self.steps += 1
        torch.cuda.set_sync_debug_mode("warn")


def main(specification: str) -> None:
    """Train as ``benchmarks.throughput.ours`` does, and write how often each step waited."""
    given = json.loads(Path(specification).read_text())
    waits = _Waits()
    trainer.DEFAULT_CALLBACKS.append(waits)

    def count(message: Warning | str, *_: Any, **__: Any) -> None:
        waits.count += "synchronizing CUDA operation" in str(message)

    warnings.simplefilter("always")
    warnings.showwarning = count
    ours.main(specification)
    result = json.loads(Path(given["output"]).read_text())
    counted = max(1, waits.steps - 1)
    Path(given["output"]).write_text(json.dumps(result | {"waits": waits.count / counted}))


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main(sys.argv[1])
