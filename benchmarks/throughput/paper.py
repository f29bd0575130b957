"""Train by the paper's loop: ``python -m benchmarks.throughput.paper SPECIFICATION``."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from benchmarks import paper_loop


def main(specification: str) -> None:
    """Train as the JSON file ``specification`` says, and write what came of it."""
    given = json.loads(Path(specification).read_text())
    torch.set_num_threads(given["threads"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = np.load(given["batches"])
    pairs_count = len(data["starts"]) // 2

    def text(row: int) -> paper_loop.Text:
        start, length = data["starts"][row], data["lengths"][row]
        tokens = torch.from_numpy(data["tokens"][start : start + length].astype(np.int64))
        return tokens[None].to(device), int(data["response_starts"][row])

    texts = [text(row) for row in range(2 * pairs_count)]
    batches = [
        [paper_loop.Pair(texts[row], texts[pairs_count + row]) for row in batch]
        for batch in data["order"]
    ]
    reward = given["settings"]["objective"] == "reward_model"
    architecture = AutoModelForSequenceClassification if reward else AutoModelForCausalLM
    model = architecture.from_pretrained(given["model"], dtype=torch.float32).to(device)
    course = paper_loop.train(model, batches, given["settings"])
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else None
    Path(given["output"]).write_text(json.dumps(vars(course) | {"peak_memory_bytes": peak}))


if __name__ == "__main__":
    main(sys.argv[1])
