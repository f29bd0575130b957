"""Measure training throughput: ``python -m benchmarks.throughput``.

Every contestant trains the same model from the same weights on the same batches, in a process of
its own, in turn: ours, TRL's, the paper's loop, and the authors' published code where a checkout of
it is given. The first step warms up and is not timed, unless it is the only one. The table is
printed, and every single measurement left in FOLDER/measurements.json; with --steps 0 the table is
made of those that are there.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.throughput import workload

ROOT = Path(__file__).parents[2]
PEERS = {
    "trl": (["trl==1.16.0"], None),
    # What the authors' code imports; newer releases of transformers lack a function of theirs.
    "authors": (
        ["transformers==4.57.1", "torch_optimizer==0.3.0", "datasets", "accelerate", "wandb"],
        {"torch", "numpy"},
    ),
}
"""By environment: what is installed into it, and what in the versions of ``uv.lock``, or all."""
DPO_EPOCHS = 3
"""Epochs that one pass of DPO's reference model serves, in the paper's settings."""
PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "A800": 312e12, "A40": 149.7e12}
"""Dense bfloat16 operations a second, from the vendor's data sheets."""


class Contestant(NamedTuple):
    """One way to train.

    Attributes:
        name: as the table has it.
        command: what runs it, without its specification.
        objectives: what it is run for.
        precompute: whether DPO's reference model is run beforehand.
    """

    name: str
    command: list[str]
    objectives: tuple[str, ...] = tuple(workload.OBJECTIVES)
    precompute: bool = False


def main() -> None:
    """Make the workload, measure, and print the table."""
    args = _arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    made = args.folder / "measurements.json"
    measurements = json.loads(made.read_text()) if made.exists() else []
    if args.steps:
        _measure(args, measurements, made)
    print("\n".join(table(measurements, args.clock)))


def _measure(args: argparse.Namespace, measurements: list[dict[str, Any]], made: Path) -> None:
    pairs = workload.write_pairs(args.data, args.folder, args.steps * workload.BATCH)
    workload.make_tokenizer(args.folder)
    batches = workload.write_batches(args.folder, pairs)
    contestants = [
        each
        for each in _contestants(args.folder)
        if each.name in args.contestants and (args.authors or each.name != "authors")
    ]
    for size in args.sizes:
        for objective in args.objectives:
            reward = objective == "reward_model"
            model = workload.make_model(size, args.folder, reward=reward)
            for _ in range(args.repeats):
                for contestant in contestants:
                    if objective not in contestant.objectives:
                        continue
                    specification = {
                        "settings": workload.TRAINING | workload.OBJECTIVES[objective],
                        "model": str(model.absolute()),
                        "pairs": str(pairs.absolute()),
                        "batches": str(batches.absolute()),
                        "micro_batch": args.micro_batch,
                        "threads": args.threads,
                        "precompute": contestant.precompute,
                        "authors": args.authors and str(args.authors.absolute()),
                    }
                    found = measured(contestant, specification, args.folder)
                    found |= {"size": size, "objective": objective, "contestant": contestant.name}
                    print(_line(found, args.clock), file=sys.stderr, flush=True)
                    measurements.append(found)
                    made.write_text(json.dumps(measurements, indent=1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [each.name for each in _contestants(Path())]
    parser.add_argument("folder", type=Path, help="folder for models, TRL's environment, figures")
    parser.add_argument("--data", type=Path, default=workload.DATA, help="HH-RLHF's pairs")
    parser.add_argument(
        "--sizes", nargs="+", choices=workload.SIZES, default=["10M"], metavar="SIZE",
        help=f"of {', '.join(workload.SIZES)}",
    )  # fmt: skip
    parser.add_argument(
        "--objectives", nargs="+", choices=workload.OBJECTIVES, default=list(workload.OBJECTIVES)
    )
    parser.add_argument("--contestants", nargs="+", choices=names, default=names)
    parser.add_argument(
        "--authors", type=Path, metavar="CHECKOUT",
        help="a checkout of keven980716/weak-to-strong-deception, whose code is timed too",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, default=6, help="optimizer steps, the first untimed")
    parser.add_argument("--repeats", type=int, default=1, help="measurements of each")
    parser.add_argument("--micro-batch", type=int, default=8, help="pairs at once in ours and TRL")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: pairs a second of CPU time, for machines that others use too; one thread then",
    )
    args = parser.parse_args()
    if args.authors and not (args.authors / "weak-to-strong").is_dir():
        parser.error(f"--authors {args.authors}: has no folder weak-to-strong; give the top folder")
    return args


def _contestants(folder: Path) -> list[Contestant]:
    trl = [str(folder.absolute() / "trl/bin/python"), "-m", "benchmarks.throughput.peer_trl"]
    authors = [str(folder.absolute() / "authors/bin/python"), "-m", "benchmarks.throughput.authors"]
    return [
        Contestant("ours", [sys.executable, "-m", "benchmarks.throughput.ours"]),
        Contestant("TRL", trl),
        Contestant("TRL, precomputed", trl, ("dpo",), precompute=True),
        Contestant("paper", [sys.executable, "-m", "benchmarks.throughput.paper"]),
        Contestant("authors", authors),
    ]


def make_peer(folder: Path, peer: str) -> None:
    """Install a peer into an environment of its own, beside the versions of ``uv.lock``."""
    python = folder / peer / "bin/python"
    if python.exists():
        return
    uv = str(ROOT / ".uv/bin/uv")
    locked = folder / "locked.txt"
    lock = ["export", "--frozen", "--no-hashes", "--no-dev", "--quiet", "--output-file"]
    subprocess.run([uv, *lock, str(locked.absolute())], cwd=ROOT, check=True)
    required, as_locked = PEERS[peer]
    if as_locked is not None:
        lines = locked.read_text().splitlines()
        locked.write_text("\n".join(e for e in lines if e.partition("==")[0] in as_locked))
    for command in (
        ["venv", "--quiet", "--python", sys.executable, str(folder.absolute() / peer)],
        [
            *("pip", "install", "--quiet", "--python", str(python.absolute())),
            *(*required, "-c", str(locked.absolute())),
        ],
    ):
        subprocess.run([uv, *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def measured(contestant: Contestant, specification: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what a contestant, in a process of its own, found in training as specified."""
    environment_of = Path(contestant.command[0]).parents[1].name
    if environment_of in PEERS:
        make_peer(folder, environment_of)
    given, output = folder / "specification.json", folder / "run.json"
    given.write_text(json.dumps(specification | {"output": str(output.absolute())}))
    output.unlink(missing_ok=True)
    (folder / "run").mkdir(exist_ok=True)
    log = folder / "log.txt"
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    with log.open("w") as stream:
        ran = subprocess.run(
            [*contestant.command, str(given.absolute())],
            cwd=ROOT,
            stdout=stream,
            stderr=stream,
            env=environment,
            check=False,
        )
    if ran.returncode:
        sys.exit(f"{contestant.name}: {log.read_text()[-2000:]}")
    return json.loads(output.read_text())


def pairs_per_second(found: dict[str, Any], clock: str) -> float:
    """Return the pairs trained on in a second, DPO's reference pass included.

    A pass beforehand serves all epochs, so that an epoch bears a third of it.
    """
    prefix = "cpu_" if clock == "cpu" else ""
    ends = found[f"{prefix}seconds"]
    reference = found.get(f"reference_{prefix}seconds", 0.0) / len(ends) / DPO_EPOCHS
    timed = ends if len(ends) == 1 else [end - ends[0] for end in ends[1:]]
    return workload.BATCH / (timed[-1] / len(timed) + reference)


def tokens_per_second(found: dict[str, Any]) -> float:
    """Return the tokens trained on in a second by the clock on the wall."""
    return (
        found["tokens"] / (workload.BATCH * len(found["seconds"])) * pairs_per_second(found, "wall")
    )


def share_of_peak(found: dict[str, Any], size: str) -> float | None:
    """Return the share of the GPU's peak that was used, None where the GPU is not a known one.

    It counts 6 operations a token and weight, and no recomputation.
    """
    peak = next((f for n, f in PEAK_FLOPS.items() if n in found.get("device", "")), None)
    return peak and 6 * workload.parameters(size) * tokens_per_second(found) / peak


def _line(found: dict[str, Any], clock: str) -> str:
    losses = " ".join(f"{loss:.5f}" for loss in found["losses"])
    return (
        f"{found['size']} {found['objective']} {found['contestant']}: "
        f"{pairs_per_second(found, clock):.2f} pairs/s, losses {losses}"
    )


def table(measurements: list[dict[str, Any]], clock: str) -> list[str]:
    """Return the medians as Markdown, with ratios ours / theirs and the losses' differences."""
    unit = " of CPU time" if clock == "cpu" else ""
    lines = [
        f"| model | objective | who | pairs/s{unit} | from, to | ours / theirs | losses differ |",
        "| --- | --- | --- | ---: | --- | ---: | ---: |",
    ]
    cells = dict.fromkeys((m["size"], m["objective"], m["contestant"]) for m in measurements)
    for size, objective, who in cells:
        ours = _of(measurements, size, objective, "ours")
        theirs = _of(measurements, size, objective, who)
        speeds = [pairs_per_second(found, clock) for found in theirs]
        ratio = difference = ""
        if ours and who != "ours":
            mine = statistics.median(pairs_per_second(found, clock) for found in ours)
            ratio = f"{mine / statistics.median(speeds):.2f}"
            gaps = [abs(a - b) for a, b in zip(ours[0]["losses"], theirs[0]["losses"], strict=True)]
            difference = f"{max(gaps):.0e}"
        spread = f"{min(speeds):.2f} to {max(speeds):.2f}, n = {len(speeds)}"
        lines.append(
            f"| {size} | {objective} | {who} | {statistics.median(speeds):.2f} | {spread} "
            f"| {ratio} | {difference} |"
        )
    return [*lines, *_accelerator_table(measurements)]


def _of(
    measurements: list[dict[str, Any]], size: str, objective: str, who: str
) -> list[dict[str, Any]]:
    key = (size, objective, who)
    return [m for m in measurements if (m["size"], m["objective"], m["contestant"]) == key]


def _accelerator_table(measurements: list[dict[str, Any]]) -> list[str]:
    """Return our tokens a second, utilisation and peak memory, where a known GPU was used."""
    rows = []
    for found in measurements:
        if found["contestant"] != "ours" or not (share := share_of_peak(found, found["size"])):
            continue
        rows.append(
            f"| {found['size']} | {found['objective']} | {found['device']} "
            f"| {tokens_per_second(found):,.0f} | {share:.0%} "
            f"| {found['peak_memory_bytes'] / 1e9:.1f} |"
        )
    if not rows:
        return []
    header = "| model | objective | device | tokens/s | utilisation | peak memory, GB |"
    return ["", header, "| --- | --- | --- | ---: | ---: | ---: |", *rows]


if __name__ == "__main__":
    main()
