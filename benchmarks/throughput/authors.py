"""Train by the authors' published code: ``python -m benchmarks.throughput.authors SPECIFICATION``.

Their functions are called as they are; only what they load by a name of theirs is made here.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from benchmarks.throughput.watch import Watch

# Their scripts' default.
MINIBATCH = 1


class Log:
    """What their loop logs to: it says the loss of each step, and when the step has ended."""

    def __init__(self, watch: Watch) -> None:
        """Have ``watch`` told."""
        self._watch = watch

    def logkvs(self, values: dict[str, Any]) -> None:
        """Keep the loss."""
        self._watch.on_log(logs=values)

    def dumpkvs(self) -> None:
        """Read the clocks."""
        self._watch.on_step_end()


def main(specification: str) -> None:
    """Train as the JSON file ``specification`` says, and write what came of it."""
    given = json.loads(Path(specification).read_text())
    sys.path.insert(0, str(Path(given["authors"], "weak-to-strong").resolve(strict=True)))
    from weak_to_strong import logger, train  # type: ignore[import-not-found]

    torch.set_num_threads(given["threads"])
    settings = given["settings"]
    sides = _sides(np.load(given["batches"]))
    own: dict[str, Any]
    match settings["objective"]:
        case "reward_model":
            models, run = [_rewarding(given["model"])], train.train_reward_model
            own = {"loss_fn": train.bce_loss(), "lr_schedule": settings["schedule"]}
        case "simpo":
            models, run = [_language(given["model"])], train.train_simpo_model
            own = {"beta": settings["beta"], "gamma": settings["gamma"], "warmup_ratio": 0}
        case "dpo":
            models, run = [_language(given["model"]) for _ in range(2)], train.train_dpo_model
            own = {"beta": settings["beta"], "warmup_ratio": 0}
        case unknown:
            raise ValueError(f"objective {unknown}")
    watch = Watch()
    logger.WandbLogger.CURRENT = Log(watch)
    watch.on_train_begin()
    run(
        *models,
        **{f"ds_{side}": rows for side, rows in sides.items()},
        **{f"eval_ds_{side}": [] for side in sides},
        **{"batch_size": settings["batch_size"], "minibatch_size": MINIBATCH},
        **{"lr": settings["learning_rate"], "eval_every": 0, "log_every": 0},
        **own,
    )
    Path(given["output"]).write_text(json.dumps(watch.noted()))


def _sides(data: Any) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of both sides, by the names that their loops read, in the batches' order."""
    pairs_count = len(data["starts"]) // 2

    def row(text: int) -> dict[str, Any]:
        start, length = int(data["starts"][text]), int(data["lengths"][text])
        tokens = data["tokens"][start : start + length].astype(np.int64).tolist()
        scored = [float(place >= data["response_starts"][text]) for place in range(length)]
        of_pair = {"soft_label": 1.0, "acc": True}
        return {"input_ids": tokens, "dpo_input_ids": tokens, "dpo_loss_mask": scored, **of_pair}

    order = data["order"].reshape(-1)
    return {
        "chosen": [row(pair) for pair in order],
        "rejected": [row(pairs_count + pair) for pair in order],
    }


def _language(folder: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32)


def _rewarding(folder: str) -> Any:
    """Return their reward model; it finds the layers by a name of the family in the folder's."""
    from weak_to_strong.model import TransformerWithSingleHead  # type: ignore[import-not-found]

    named = Path(folder).with_name(f"gpt2-of-{Path(folder).name}")
    named.unlink(missing_ok=True)
    named.symlink_to(folder)
    model = TransformerWithSingleHead.from_pretrained(str(named))
    model.score.weight.data = load_file(f"{folder}/model.safetensors")["score.weight"]
    return model


if __name__ == "__main__":
    main(sys.argv[1])
