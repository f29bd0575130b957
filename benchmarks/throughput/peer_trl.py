"""Train with TRL, by the Python of its own environment.

``python -m benchmarks.throughput.peer_trl SPECIFICATION``

Token ids are handed over as they are, so that all train on the same; else TRL would append an
end-of-text token. Dropout, weight decay and clipping are off, gradient checkpointing (on by
default, and slower) too. A DPO reference model is run beside the policy, as TRL does by default, or
beforehand where ``precompute`` says so.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import SequentialSampler
from transformers import AutoTokenizer
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer

from benchmarks.throughput.watch import Watch


class InOrder:
    """A trainer that takes the examples in the given order."""

    def _get_train_sampler(self, *_: Any) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)


class Reward(InOrder, RewardTrainer):
    """TRL's reward trainer, which takes token ids by itself."""


class DPO(InOrder, DPOTrainer):
    """TRL's DPO trainer on token ids."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset

    def _precompute_ref_logps(self, *args: Any) -> Dataset:
        began = time.perf_counter(), time.process_time()
        computed = super()._precompute_ref_logps(*args)
        self.reference_seconds = time.perf_counter() - began[0]
        self.reference_cpu_seconds = time.process_time() - began[1]
        return computed


class SimPO(InOrder, CPOTrainer):
    """TRL's CPO trainer on token ids."""

    def tokenize_row(self, feature: dict[str, Any], model: Any = None) -> dict[str, Any]:
        """Return a row's tokens, and the prompt's masked out of its labels."""
        prompt = feature["prompt_ids"]
        row = {"prompt_input_ids": prompt, "prompt_attention_mask": [1] * len(prompt)}
        for side in ("chosen", "rejected"):
            tokens = prompt + feature[f"{side}_ids"]
            row[f"{side}_input_ids"] = tokens
            row[f"{side}_attention_mask"] = [1] * len(tokens)
            row[f"{side}_labels"] = [-100] * len(prompt) + feature[f"{side}_ids"]
        return row


def main(specification: str) -> None:
    """Train as the JSON file ``specification`` says, and write what came of it."""
    given = json.loads(Path(specification).read_text())
    torch.set_num_threads(given["threads"])
    settings, adam = given["settings"], given["settings"]["adam"]
    on_gpu = torch.cuda.is_available()
    watch = Watch()
    with tempfile.TemporaryDirectory() as scratch:
        common = {
            "output_dir": scratch,
            "num_train_epochs": 1,
            "per_device_train_batch_size": given["micro_batch"],
            "gradient_accumulation_steps": settings["batch_size"] // given["micro_batch"],
            "learning_rate": settings["learning_rate"],
            "lr_scheduler_type": "constant",
            "optim": "adamw_torch_fused",
            "adam_beta1": adam["beta1"],
            "adam_beta2": adam["beta2"],
            "adam_epsilon": adam["epsilon"],
            "weight_decay": 0.0,
            "max_grad_norm": 0.0,
            "max_length": settings["max_length"],
            "bf16": on_gpu,
            "gradient_checkpointing": False,
            "use_cpu": not on_gpu,
            "dataloader_pin_memory": on_gpu,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
        }
        load = {"dtype": "float32"}
        match settings["objective"]:
            case "reward_model":
                arguments = RewardConfig(**common, model_init_kwargs=load)
                kind, data = Reward, _whole_texts(given["batches"])
            case "simpo":
                arguments = CPOConfig(
                    **common,
                    model_init_kwargs=load | {"device_map": None},
                    loss_type="simpo",
                    beta=settings["beta"],
                    simpo_gamma=settings["gamma"],
                    cpo_alpha=0.0,
                    remove_unused_columns=False,
                )
                kind, data = SimPO, _prompts_and_responses(given["batches"])
            case "dpo":
                arguments = DPOConfig(
                    **common,
                    model_init_kwargs=load,
                    beta=settings["beta"],
                    precompute_ref_log_probs=given["precompute"],
                    truncation_mode="keep_end",
                )
                kind, data = DPO, _prompts_and_responses(given["batches"])
        trainer = kind(
            model=given["model"],
            args=arguments,
            train_dataset=data,
            processing_class=AutoTokenizer.from_pretrained(given["model"]),
            callbacks=[watch],
        )
        trainer.train()
    result = watch.noted() | {
        "reference_seconds": getattr(trainer, "reference_seconds", 0.0),
        "reference_cpu_seconds": getattr(trainer, "reference_cpu_seconds", 0.0),
        "peak_memory_bytes": torch.cuda.max_memory_allocated() if on_gpu else None,
    }
    Path(given["output"]).write_text(json.dumps(result))


def _whole_texts(batches: str) -> Dataset:
    data = np.load(batches)
    return _in_order(data, lambda prompt, response: prompt + response, prompts=False)


def _prompts_and_responses(batches: str) -> Dataset:
    # Texts of each pair beside the tokens: some of TRL's preparations look for these columns.
    data = np.load(batches)
    return _in_order(data, lambda prompt, response: response, prompts=True)


def _in_order(data: Any, tokens_of: Any, *, prompts: bool) -> Dataset:
    pairs = len(data["starts"]) // 2
    columns: dict[str, list[Any]] = {"chosen_ids": [], "rejected_ids": []}
    if prompts:
        columns |= {"prompt_ids": [], "prompt": [], "chosen": [], "rejected": []}
    for pair in data["order"].ravel():
        for side, row in (("chosen", pair), ("rejected", pairs + pair)):
            start, length = data["starts"][row], data["lengths"][row]
            tokens = data["tokens"][start : start + length].tolist()
            response = int(data["response_starts"][row])
            columns[f"{side}_ids"].append(tokens_of(tokens[:response], tokens[response:]))
            if prompts:
                columns[side].append(f"{side} {row}")
        if prompts:
            columns["prompt_ids"].append(tokens[:response])
            columns["prompt"].append(f"prompt {pair}")
    return Dataset.from_dict(columns)


if __name__ == "__main__":
    main(sys.argv[1])
