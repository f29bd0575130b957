"""How much memory a training takes, and whether its parts add up: ``python -m benchmarks.memory``.

One optimizer step of SimPO, in a fresh process, in two micro-batches of texts that are as long as
can be. On a CPU the process's peak resident memory is compared with the sum of

* what Python and the libraries hold once imported, measured,
* weights, gradients and Adam's two moments in float32: 16 bytes a weight,
* what one micro-batch's forward keeps for its backward pass, counted by torch's own hooks.
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

from benchmarks.throughput import workload
from workflow_scripts import checkpoints, scorer
from workflow_scripts.tokenise import tokenise

IMPORTS = "import resource, deepspeed, transformers.trainer, workflow_scripts.trainer"
RESIDENT = "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
MICRO_BATCH = 2
BATCH = 2 * MICRO_BATCH


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
    base = _base()
    print("| model | weights | base | 16 bytes a weight | activations | sum | measured | off by |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for size in args.sizes:
        model = workload.make_model(size, args.folder, reward=False)
        measured = _peak(model, _long_pairs(args.folder), args)
        weights = workload.parameters(size)
        kept = _kept(model, args.folder)
        total = base + 16 * weights + kept
        megabytes = [f"{part / 1e6:,.0f}" for part in (base, 16 * weights, kept, total, measured)]
        off = total / measured - 1
        print(f"| {size} | {weights / 1e6:.1f}M | {' | '.join(megabytes)} | {off:+.0%} |")


def _base() -> int:
    """Return the resident bytes of a process that has imported what a training imports."""
    command = [sys.executable, "-c", f"{IMPORTS}; {RESIDENT}"]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(ran.stdout.splitlines()[-1]) * 1024


def _long_pairs(folder: Path) -> Path:
    """Write one batch of pairs whose responses alone are longer than any text may be."""
    texts = pq.read_table(folder / "texts.parquet")["rejected"].to_pylist()
    response = "".join(texts[:200])
    made = folder / "long.parquet"
    columns = {"prompt": ["\n\nHuman: So?"] * BATCH, "chosen": [response] * BATCH}
    rejected = [response + texts[row] for row in range(BATCH)]
    names = [f"long-{row}" for row in range(BATCH)]
    pq.write_table(pa.table({"id": names, **columns, "rejected": rejected}), made)
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


def _kept(folder: Path, made: Path) -> int:
    """Return the bytes that a micro-batch's forward keeps, beside the weights."""
    readout = scorer.READOUTS["simpo"]
    model = checkpoints.load_base(folder, readout).train()
    pairs = pq.read_table(made / "long.parquet").to_pydict()
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

    batch = sequences.padded(np.arange(2 * MICRO_BATCH))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        scorer.PairScorer(model, readout)(**batch)
    return sum(size for size, _ in kept.values())


if __name__ == "__main__":
    main()
