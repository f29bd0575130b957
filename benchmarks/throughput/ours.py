"""Train by this workflow's stages: ``python -m benchmarks.throughput.ours SPECIFICATION``."""

import json
import sys
import time
from pathlib import Path

from transformers import trainer

from benchmarks.throughput.watch import Watch
from workflow_scripts.__main__ import run_stage


def main(specification: str) -> None:
    """Train as the JSON file ``specification`` says, and write what came of it."""
    given = json.loads(Path(specification).read_text())
    folder = Path(given["output"]).with_suffix("")
    common = ["--model", given["model"], "--pairs", given["pairs"]]
    common += ["--micro-batch", str(given["micro_batch"]), "--threads", str(given["threads"])]
    of_reference: list[str] = []
    took = {"reference_seconds": 0.0, "reference_cpu_seconds": 0.0}
    watch = Watch()
    if given["settings"]["objective"] == "dpo":
        settings = {"max_length": given["settings"]["max_length"], "compat": {}}
        of_reference = ["--reference", f"{folder}/reference.parquet"]
        output = ["--settings", json.dumps(settings), "--output", of_reference[1]]
        began = time.perf_counter(), time.process_time()
        _run("reference", *common, *output)
        took["reference_seconds"] = time.perf_counter() - began[0]
        took["reference_cpu_seconds"] = time.process_time() - began[1]
    # Every Trainer has these callbacks, that of the stage too.
    trainer.DEFAULT_CALLBACKS.append(watch)
    _run(
        "train",
        *common,
        *of_reference,
        *("--settings", json.dumps(given["settings"]), "--checkpoint", f"{folder}/checkpoint"),
        *("--attention", given.get("attention", "dense")),
        *("--record", f"{folder}/train.json", "--metrics", f"{folder}/metrics.jsonl"),
    )
    record = json.loads((folder / "train.json").read_text())
    result = watch.noted() | took | {name: record[name] for name in ("tokens", "device")}
    result["peak_memory_bytes"] = record["peak_memory_bytes"]
    # Those of the log are averages in float32.
    result["losses"] = record["losses"]
    Path(given["output"]).write_text(json.dumps(result))


def _run(*arguments: str) -> None:
    if run_stage([*arguments]):
        sys.exit(f"the stage {arguments[0]} failed")


if __name__ == "__main__":
    main(sys.argv[1])
