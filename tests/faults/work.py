"""What faults befall: a run in small, each step of it a process of its own."""

import glob
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.shared.base_models import FAMILIES, save_base
from tests.shared.page import DATA, RECORD
from tests.shared.page import SETTINGS as PAGE
from tests.shared.probes import SETTINGS as PROBE
from tests.shared.trainings import COMMON, SETTINGS, write_pairs
from tests.shared.warm_process import Warm
from workflow_scripts.core.files import write_table
from workflow_scripts.report.figure_list import FIGURES

TRAINING = COMMON | SETTINGS["simpo"] | {"epochs": 3}
READOUT = {"objective": "simpo", "max_length": 48, "compat": {}}
SETS = ("gt", "weak", "test", "helpful")
STEPS = {
    "data": [f"data/{name}" for name in (*(f"{set}.parquet" for set in SETS), "report.json")],
    "train": ["checkpoint/model.safetensors", "checkpoint/config.json"],
    "predict": ["predictions.parquet"],
    "probe": ["probe.json"],
    "cells": ["cells.csv", "cells.parquet"],
    "tables": ["tables/accuracies.md", "tables/accuracies.tex"],
    "figures": [f"figures/{name}_harmlessness.{as_}" for name in FIGURES for as_ in ("svg", "png")],
    "page": ["index.html"],
}
"""Each step, and what it makes: the same bytes whenever and however often it is made."""


class Work(NamedTuple):
    """A run in small.

    Attributes:
        folder: where its results go.
        made: where the results are that a step reads.
        unbroken: where those of a run are that nothing has befallen.
        given: the base model, the pairs, the rows, and the predictions of the other models.
        warm: what the processes are forked from.
        seconds: how long each step takes where nothing befalls it.
    """

    folder: Path
    made: Path
    unbroken: Path
    given: Path
    warm: Warm
    seconds: dict[str, float]

    def start(self, step: str, **more: str) -> subprocess.Popen[str]:
        """Start a step, with ``more`` in its environment; a training saves after every step."""
        run, made = self.folder, self.made
        figures = run / "figures"
        if step == "page" and not figures.exists():
            # The page says where they are, seen from itself.
            figures.symlink_to(made / "figures")
        probe = json.dumps(PROBE | {"resamples": 100})
        scoring = ("--pairs", self.given / "gt.parquet", "--micro-batch", 8, "--threads", 1)
        argv: dict[str, Sequence[object]] = {
            "data": ("prepare_data", "--settings", self._data(), "--output", run / "data"),
            "train": (
                *("train", "--settings", json.dumps(TRAINING), "--model", self.given / "base"),
                *(*scoring, "--save-minutes", 0, "--states", run / ".state"),
                *("--checkpoint", run / "checkpoint", "--record", run / "train.json"),
                *("--metrics", run / "metrics.jsonl"),
            ),
            "predict": (
                *("predict", "--settings", json.dumps(READOUT), "--model", made / "checkpoint"),
                *(*scoring, "--output", run / "predictions.parquet"),
            ),
            "probe": (
                *("probe", "--settings", probe, "--pairs", self.given / "grouped.parquet"),
                *("--student", made / "predictions.parquet"),
                *(f"--{name}={self.given / name}.parquet" for name in ("weak", "strong", "none")),
                *("--output", run / "probe.json"),
            ),
            "cells": (
                *("cells", "--probes", made / "probe.json", "--csv", run / "cells.csv"),
                *("--parquet", run / "cells.parquet", "--aggregated", run / "aggregated.csv"),
                *("--reliability", run / "reliability.parquet"),
            ),
            "tables": ("tables", "--cells", made / "cells.parquet", "--output", run / "tables"),
            "figures": (
                *("figures", "--cells", made / "cells.parquet", "--target", PROBE["target"]),
                *("--reliability", made / "reliability.parquet", "--output", run / "figures"),
            ),
            "page": (
                *("page", "--settings", json.dumps(PAGE), "--cells", made / "cells.parquet"),
                *("--data", self.given / "report.json", "--records", self.given / "train.json"),
                *("--figures", figures, "--output", run / "index.html"),
            ),
        }
        return self.warm.fork(*argv[step], **more)

    def _data(self) -> str:
        sets = {
            name: {
                "size": 8,
                "source": {"path": str(self.given / "rows.jsonl"), "format": "columns"},
            }
            for name in SETS
        }
        return json.dumps({"target": "t", "seed": 0, "max_bad": 0.05, "sets": sets})

    def finish_training(self) -> None:
        """Have trained, and have nothing left but what is kept of it."""
        shutil.copytree(self.unbroken / ".state", self.folder / ".state")

    def states(self) -> list[Path]:
        """Return the files of the training's states."""
        # Path.glob fails where the training renames a folder just then.
        return sorted(map(Path, glob.glob(f"{self.folder}/.state/**/step-*/*", recursive=True)))

    def kept(self) -> list[Path]:
        """Return the files that are kept of the finished training."""
        return sorted(p for p in self.folder.glob(".state/**/finished/**/*") if p.is_file())


def write_given(folder: Path) -> None:
    """Write what a run starts from, and the predictions of its other models."""
    save_base(folder / "base", FAMILIES["gpt2"])
    pairs = pq.read_table(write_pairs(folder / "gt.parquet", 34))
    write_table(folder / "grouped.parquet", pairs.append_column("group", pairs["id"]))
    rows = [{"prompt": f"Is {n} even?", "chosen": f"{n} yes", "rejected": "no"} for n in range(40)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "train.json").write_text(json.dumps(RECORD))
    (folder / "report.json").write_text(json.dumps(DATA))
    for seed, name in enumerate(("weak", "strong", "none")):
        margins = np.random.default_rng(seed).normal(1.0, size=len(pairs))
        table = pa.table({"id": pairs["id"], "margin": margins})
        write_table(folder / f"{name}.parquet", table)


def finished(process: subprocess.Popen[str]) -> str:
    """Wait for a process and return what it printed."""
    return process.communicate(timeout=300)[1]


def settled(work: Work, steps: Sequence[str]) -> list[str]:
    """Run steps, which are to succeed, and return what they printed."""
    printed = []
    for step in steps:
        process = work.start(step)
        printed.append(finished(process))
        assert process.returncode == 0, printed
    return printed


def contents(work: Work, steps: Sequence[str]) -> dict[str, bytes]:
    """Return the files that steps have made."""
    return {name: (work.folder / name).read_bytes() for step in steps for name in STEPS[step]}
