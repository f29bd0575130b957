"""Train by this workflow's stages: ``python -m benchmarks.throughput.ours SPECIFICATION``."""

import argparse
import json
import sys
import time
from pathlib import Path
from types import ModuleType

from workflow_scripts import reference, train


def main(specification: str) -> None:
    """Train as the JSON file ``specification`` says, and write what came of it."""
    given = json.loads(Path(specification).read_text())
    folder = Path(given["output"]).with_suffix("")
    common = ["--model", given["model"], "--pairs", given["pairs"]]
    common += ["--micro-batch", str(given["micro_batch"]), "--threads", str(given["threads"])]
    of_reference, reference_seconds = [], 0.0
    if given["settings"]["objective"] == "dpo":
        settings = {"max_length": given["settings"]["max_length"], "compat": {}}
        of_reference = ["--reference", f"{folder}/reference.parquet"]
        output = ["--settings", json.dumps(settings), "--output", of_reference[1]]
        began = time.perf_counter()
        _run(reference, *common, *output)
        reference_seconds = time.perf_counter() - began
    _run(
        train,
        *common,
        *of_reference,
        *("--settings", json.dumps(given["settings"]), "--checkpoint", f"{folder}/checkpoint"),
        *("--record", f"{folder}/train.json", "--metrics", f"{folder}/metrics.jsonl"),
    )
    record = json.loads((folder / "train.json").read_text())
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    result = {
        "losses": record["losses"],
        "seconds": [json.loads(line)["seconds"] for line in lines],
        "reference_seconds": reference_seconds,
        "tokens": record["tokens"],
        "device": record["device"],
        "peak_memory_bytes": record["peak_memory_bytes"],
    }
    Path(given["output"]).write_text(json.dumps(result))


def _run(stage: ModuleType, *arguments: str) -> None:
    parser = argparse.ArgumentParser()
    stage.add_arguments(parser)
    stage.run(parser.parse_args(arguments))


if __name__ == "__main__":
    main(sys.argv[1])
