"""How much memory a training takes, and whether its parts add up: ``python -m benchmarks.memory``.

Two optimizer steps of SimPO, in a fresh process, each of two micro-batches, on texts that are as
long as can be and all response. On a CPU the process's peak resident memory is compared with the
sum of

* what a training of next to nothing takes: Python, the libraries and their compiled kernels,
* weights, gradients and Adam's two moments in float32: 16 bytes a weight,
* what one micro-batch's forward keeps for its backward pass, counted by torch's own hooks,
* the gradients of logits and of their log-softmax, 8 bytes by vocabulary entry and token, which
  are there together when the backward pass begins.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import AutoConfig

from benchmarks.throughput import workload
from workflow_scripts.methods.readout import Readout
from workflow_scripts.models import checkpoints, scorer
from workflow_scripts.models.tokenise import members, tokenise

MICRO_BATCH = 2
BATCH = 2 * MICRO_BATCH
STEPS = 2


def main() -> None:
    """Measure every size, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="may be that of benchmarks.throughput")
    parser.add_argument("--sizes", nargs="+", choices=workload.SIZES, default=["10M", "gpt2"])
    parser.add_argument("--data", type=Path, default=workload.DATA, help="HH-RLHF's pairs")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    workload.write_pairs(args.data, args.folder, workload.BATCH)
    workload.make_tokenizer(args.folder)
    nothing = workload.make_model("nothing", args.folder, reward=False)
    base = _peak(nothing, _pairs(args.folder, "short", 1), args)
    print("| model | weights | base | states | kept | logits | sum | measured | off by |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    long = _pairs(args.folder, "long", 10_000)
    for size in args.sizes:
        model = workload.make_model(size, args.folder, reward=False)
        measured = _peak(model, long, args)
        weights = workload.parameters(size)
        vocabulary = AutoConfig.from_pretrained(model).vocab_size
        logits = 8 * vocabulary * 2 * MICRO_BATCH * workload.MAX_LENGTH
        parts = [base, 16 * weights, _kept(model, long, args.folder), logits]
        numbers = [f"{part / 1e6:,.0f}" for part in (*parts, sum(parts), measured)]
        off = sum(parts) / measured - 1
        print(f"| {size} | {weights / 1e6:.1f}M | {' | '.join(numbers)} | {off:+.0%} |")


def _pairs(folder: Path, name: str, characters: int) -> Path:
    """Write pairs whose responses have so many characters."""
    texts = "".join(pq.read_table(folder / "texts.parquet")["rejected"].to_pylist()[:500])
    rows = range(STEPS * BATCH)
    made = folder / f"{name}.parquet"
    columns = {
        "id": [f"{name}-{row}" for row in rows],
        "prompt": ["\n\nHuman: So?"] * len(rows),
        "chosen": [texts[row:][:characters] for row in rows],
        "rejected": [texts[-1 - row :: -1][:characters] for row in rows],
    }
    pq.write_table(pa.table(columns), made)
    return made


def _peak(model: Path, pairs: Path, args: argparse.Namespace) -> int:
    out = args.folder / "memory"
    out.mkdir(exist_ok=True)
    settings = workload.TRAINING | workload.OBJECTIVES["simpo"] | {"batch_size": BATCH}
    # The process that measures is fresh: a child's peak begins with its parent's.
    command = [sys.executable, "-m", "workflow_scripts", "train"]
    command += ["--settings", json.dumps(settings), "--model", str(model), "--pairs", str(pairs)]
    command += ["--micro-batch", str(MICRO_BATCH), "--threads", str(args.threads)]
    command += ["--checkpoint", str(out / "checkpoint"), "--record", str(out / "train.json")]
    command += ["--metrics", str(out / "metrics.jsonl")]
    subprocess.run(command, check=True, capture_output=True)
    return json.loads((out / "train.json").read_text())["peak_memory_bytes"]


def _kept(folder: Path, table: Path, made: Path) -> int:
    """Return the bytes that a micro-batch's forward keeps, beside the weights."""
    readout = Readout.MEAN_LOG_PROBABILITY
    model = checkpoints.load_base(folder, readout).train()
    pairs = pq.read_table(table).to_pydict()
    sequences = tokenise(
        checkpoints.load_tokenizer(folder),
        pairs["id"],
        pairs["prompt"],
        [pairs["chosen"], pairs["rejected"]],
        workload.MAX_LENGTH,
    )
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, tuple[int, torch.Tensor]] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            # Held, so that no other tensor can be given the same address.
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    first = np.arange(MICRO_BATCH)
    batch = sequences.padded(members(len(sequences), len(pairs["id"]))[first])
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        scorer.PairScorer(model, readout)(**batch)
    return sum(size for size, _ in kept.values())


if __name__ == "__main__":
    main()
