"""Measure trainings on this machine's GPU: ``python -m benchmarks.gpu FOLDER``.

For each shape of model, of random weights and on random texts, each scenario, and attention by the
dense mask and by blocks (``execution.attention``): pairs and tokens a second, the share of the
GPU's peak, peak memory beside what docs/memory.md would have it be, how often a step waits for the
GPU, how far margins in bfloat16 are from those in float32, and whether a training that was
interrupted ends in the bytes of one that was not. The table goes to the terminal and to
FOLDER/gpu.md. Without a GPU it runs on the CPU, which has no attention by blocks, and leaves out
what only a GPU has.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import checks, texts
from benchmarks.throughput import __main__ as throughput
from benchmarks.throughput import workload
from workflow_scripts.cluster import memory
from workflow_scripts.core.kernels import KERNELS

SIZES = ["gpt2", "gpt2-xl", "opt-6.7b", "mistral-7b"]
OURS = throughput.Contestant("ours", [sys.executable, "-m", "benchmarks.throughput.ours"])
COLUMNS = {
    "model": "---",
    "scenario": "---",
    "attention": "---",
    "pairs/s": "---:",
    "tokens/s": "---:",
    "share of peak": "---:",
    "peak GB": "---:",
    "by docs/memory.md": "---:",
    "waits a step": "---:",
    "bfloat16 off by": "---:",
    "same bytes resumed": "---",
}
"""The table's columns with their alignment."""


def main() -> None:
    """Measure every shape and scenario; a row is printed as soon as it is known."""
    args = _arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    pairs = texts.write_pairs(args.folder, args.steps * workload.BATCH)
    workload.make_tokenizer(args.folder)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU: the CPU"
    lines = [
        f"On {device}, torch {torch.__version__}, {args.steps} steps of {workload.BATCH} pairs.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"| {' | '.join(COLUMNS.values())} |",
    ]
    print("\n".join(lines), flush=True)
    for row in _rows(args, pairs):
        lines.append(f"| {' | '.join(row[name] for name in COLUMNS)} |")
        print(lines[-1], flush=True)
        (args.folder / "gpu.md").write_text("\n".join(lines) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder for models, texts and the table")
    parser.add_argument("--sizes", nargs="+", choices=workload.SIZES, default=SIZES, metavar="SIZE",
                        help=f"of {', '.join(workload.SIZES)}")  # fmt: skip
    parser.add_argument(
        "--scenarios", nargs="+", choices=workload.OBJECTIVES, default=list(workload.OBJECTIVES)
    )
    kernels = KERNELS if torch.cuda.is_available() else KERNELS[:1]
    parser.add_argument(
        "--attention", nargs="+", choices=KERNELS, default=list(kernels), help="kernels"
    )
    parser.add_argument("--steps", type=int, default=12, help="of a training, the first untimed")
    parser.add_argument("--micro-batch", type=int, default=8, help="pairs in one forward")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    return parser.parse_args()


def _rows(args: argparse.Namespace, pairs: Path) -> Iterator[dict[str, str]]:
    for size in args.sizes:
        for scenario in args.scenarios:
            model = workload.make_model(size, args.folder, reward=scenario == "reward_model")
            given = {
                "settings": workload.TRAINING | workload.OBJECTIVES[scenario],
                "model": str(model.absolute()),
                "pairs": str(pairs.absolute()),
                "micro_batch": args.micro_batch,
                "threads": args.threads,
            }
            for attention in args.attention:
                yield {
                    "model": size,
                    "scenario": scenario,
                    "attention": attention,
                    **_row(args, model, pairs, given | {"attention": attention}, size),
                }


def _row(
    args: argparse.Namespace, model: Path, pairs: Path, given: dict[str, Any], size: str
) -> dict[str, str]:
    """Return what is measured of one model, scenario and kernel."""
    found = throughput.measured(OURS, given, args.folder)
    waits = checks.waits_per_step(given, args.folder)
    off = checks.margins_off_by(model, pairs, given["settings"], given["attention"])
    return {
        **_speed(found, size),
        **_memory(found, model, args.micro_batch),
        "waits a step": "-" if waits is None else f"{waits:.0f}",
        "bfloat16 off by": f"{off:.0e}",
        "same bytes resumed": "yes" if checks.resumes(given, args.folder) else "NO",
    }


def _speed(found: dict[str, Any], size: str) -> dict[str, str]:
    """Return pairs and tokens a second, and the share of a known GPU's peak."""
    share = throughput.share_of_peak(found, size)
    return {
        "pairs/s": f"{throughput.pairs_per_second(found, 'wall'):.2f}",
        "tokens/s": f"{throughput.tokens_per_second(found):,.0f}",
        "share of peak": "-" if share is None else f"{share:.0%}",
    }


def _memory(found: dict[str, Any], model: Path, micro_batch: int) -> dict[str, str]:
    """Return the peak, and the model's estimate of it: the worst case, all texts of full length."""
    if not torch.cuda.is_available():
        return {"peak GB": "-", "by docs/memory.md": "-"}
    config = json.loads((model / "config.json").read_text())
    shape = memory.Shape.of(
        params=sum(weight.numel() for weight in checks.weights(model)),
        family=config["model_type"],
        width=config.get("n_embd") or config["hidden_size"],
        layers=config.get("n_layer") or config["num_hidden_layers"],
        vocabulary=config["vocab_size"],
    )
    need = memory.training(shape, memory.Layout(1, micro_batch), workload.MAX_LENGTH)
    return {
        "peak GB": f"{found['peak_memory_bytes'] / memory.GB:.1f}",
        "by docs/memory.md": f"{need.total / memory.GB:.1f}",
    }


if __name__ == "__main__":
    main()
