"""Real trainings of tiny models: their settings, the stage that runs them, what they leave."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.torch import load_file

from tests.shared.stages import run_stage

ADAM = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}


SETTINGS = {
    "reward_model": {"objective": "reward_model"},
    "simpo": {"objective": "simpo", "beta": 2.0, "gamma": 1.0},
    "dpo": {"objective": "dpo", "beta": 0.1},
    "sft": {"objective": "sft"},
}


COMMON = {
    "epochs": 1,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "warmup": 0.0,
    "batch_size": 8,
    "max_length": 48,
    "data_order": "shuffled",
    "adam": ADAM,
    "compat": {},
    "seed": "weak_to_strong/test/seed0",
}


def write_pairs(path: Path, count: int, seed: int = 0) -> Path:
    """Write so many pairs of short random texts; their ids begin with the file's name."""
    generator = np.random.default_rng(seed)

    def text(low: int, high: int) -> str:
        return "".join(generator.choice(list("abcdefgh "), generator.integers(low, high)))

    rows = [
        {
            "id": f"{path.stem}-{row:06d}",
            "prompt": "Q: " + text(3, 20),
            "chosen": "yes " + text(1, 15),
            "rejected": "no " + text(1, 15),
        }
        for row in range(count)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def train(folder, base, pairs, settings, *more, micro_batch=8):
    """Train in this process, its outputs in ``folder``, and return the record."""
    run_stage(
        "train",
        *("--settings", json.dumps(COMMON | settings), "--model", base, "--pairs", pairs),
        *("--micro-batch", micro_batch, "--threads", 1, "--checkpoint", folder / "checkpoint"),
        *("--record", folder / "train.json", "--metrics", folder / "metrics.jsonl", *more),
    )
    return json.loads((folder / "train.json").read_text())


def metrics(folder):
    """Return the logged lines of a training."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(folder):
    """Return the tensors of the model that was trained in ``folder``."""
    return load_file(folder / "checkpoint" / "model.safetensors")


def margins(path):
    """Return the margins of a file of predictions, ``[pairs]``."""
    return pq.read_table(path)["margin"].to_numpy()
