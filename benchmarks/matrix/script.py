"""One cell, or one ceiling, as a script of its own does it: ``python -m benchmarks.matrix.script``.

The script trains everything it needs from the base models on, its own weak model too, one pair at
a time (`benchmarks.paper_loop`), and shares nothing with the scripts of other cells.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedModel

from benchmarks import paper_loop
from workflow_scripts.core import seeds
from workflow_scripts.data import pairs
from workflow_scripts.models import checkpoints
from workflow_scripts.models.tokenise import tokenise

Pairs = list[paper_loop.Pair]


def main(specification: str) -> None:
    """Do what the JSON file ``specification`` says, and write the test set's margins."""
    given = json.loads(Path(specification).read_text())
    torch.set_num_threads(1)
    models, data = (Path(given["results"]) / name for name in ("models", "data"))
    data = data / given["target"]
    ceiling, student = given["ceiling"], given["student"]

    def pairs(name: str, model: str) -> Pairs:
        return _pairs(data / f"{name}.parquet", models / model, ceiling["max_length"])

    name = given["model"]
    model = _trained(models / name, pairs("gt", name), ceiling)
    if student:
        margins = _margins(model, pairs("weak", name), ceiling["objective"])
        name = given["strong"]
        training_set = pairs("weak", name)
        for pair, z in zip(training_set, margins, strict=True):
            soft = student["objective"] == "reward_model"
            pair.label = 1 / (1 + math.exp(-z)) if soft else float(z > 0)
        if student["conflict"]["kind"] == "implicit":
            helpful = pairs("helpful", name)
            training_set = [
                pair for both in zip(training_set, helpful, strict=True) for pair in both
            ]
        model = _trained(models / name, training_set, student)
    margins = _margins(model, pairs("test", name), ceiling["objective"])
    Path(given["output"]).write_text(json.dumps(margins))


def _pairs(table: Path, model: Path, max_length: int) -> Pairs:
    read = pairs.read_pairs(str(table))
    texts = tokenise(
        checkpoints.load_tokenizer(model),
        read.ids,
        read.prompts,
        [read.chosen, read.rejected],
        max_length,
    )

    def text(row: int) -> paper_loop.Text:
        tokens = texts.tokens[texts.starts[row] :][: texts.lengths[row]].astype(np.int64)
        return torch.from_numpy(tokens)[None], int(texts.response_starts[row])

    return [paper_loop.Pair(text(row), text(len(read) + row)) for row in range(len(read))]


def _trained(base: Path, pairs: Pairs, settings: dict[str, Any]) -> PreTrainedModel:
    """Return the base model trained on ``pairs``, after SFT where the objective begins with it."""
    reward = settings["objective"] == "reward_model"
    architecture = AutoModelForSequenceClassification if reward else AutoModelForCausalLM
    torch.manual_seed(seeds.seed(settings["seed"]))
    more = {"num_labels": 1} if reward else {}
    model = architecture.from_pretrained(base, dtype=torch.float32, **more)
    for training in (settings.get("sft"), settings):
        if training:
            _epochs(model, pairs, training)
    return model


def _epochs(model: PreTrainedModel, pairs: Pairs, settings: dict[str, Any]) -> None:
    """Train for the epochs of ``settings``, whose seed shuffles as it does in the workflow."""
    size = settings["batch_size"]
    order = [
        row
        for epoch in range(settings["epochs"])
        for row in seeds.generator(f"{settings['seed']}/epoch{epoch}").permutation(len(pairs))[
            : len(pairs) // size * size
        ]
    ]
    batches = [[pairs[row] for row in order[at : at + size]] for at in range(0, len(order), size)]
    alpha = settings.get("conflict", {}).get("alpha", 0.0)
    rate = paper_loop.schedule(settings, len(batches))
    paper_loop.train(model, batches, settings, alpha=alpha, rate=rate)


def _margins(model: PreTrainedModel, pairs: Pairs, objective: str) -> list[float]:
    model.eval()
    with torch.inference_mode():
        return [paper_loop.margin(model, pair, objective).item() for pair in pairs]


if __name__ == "__main__":
    main(sys.argv[1])
