"""Models trained with LoRA: adapters in place of weights, from SFT to DPO's margins."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from tests.shared.base_models import FAMILIES, save_base
from tests.shared.held_metrics import held
from tests.shared.stages import run_stage
from tests.shared.trainings import COMMON, SETTINGS, margins, train, write_pairs
from workflow_scripts.core.errors import UserError
from workflow_scripts.methods.readout import Readout
from workflow_scripts.models import adapters, checkpoints
from workflow_scripts.models.scorer import PairScorer
from workflow_scripts.models.tokenise import members, tokenise

LORA = {"lora": {"r": 4, "alpha": 8}}
READING = {"max_length": 48, "compat": {}}
WEIGHTS = "adapter_model.safetensors"


def reading(stage: str, settings: dict, model: Path, pairs: Path, output: Path, *more: object):
    run_stage(
        stage,
        *("--settings", json.dumps(READING | settings), "--model", model, "--pairs", pairs),
        *("--micro-batch", 8, "--threads", 1, "--output", output, *more),
    )


@pytest.fixture(scope="module")
def sft(base: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an SFT of the base model by adapters, on which SimPO and DPO go on."""
    folder = tmp_path_factory.mktemp("sft")
    train(folder, base, pairs, SETTINGS["sft"] | LORA)
    return folder / "checkpoint"


def test_a_checkpoint_is_the_adapters_and_names_its_base(sft: Path, base: Path):
    names = {file.name for file in sft.iterdir()}
    assert {"adapter_config.json", WEIGHTS, "tokenizer.json"} <= names
    assert not {"config.json", "model.safetensors"} & names
    described = json.loads((sft / "adapter_config.json").read_text())
    assert described["base_model_name_or_path"] == str(base)
    assert described["target_modules"] == sorted(described["target_modules"])
    assert {tensor.shape.numel() > 0 for tensor in load_file(sft / WEIGHTS).values()} == {True}
    assert (sft / WEIGHTS).stat().st_size < (base / "model.safetensors").stat().st_size
    for architecture in (AutoModelForCausalLM, AutoPeftModelForCausalLM):
        architecture.from_pretrained(sft)


@pytest.mark.parametrize("objective", ["reward_model", "simpo", "dpo"])
def test_every_scenario_trains_adapters_and_is_read_out_with_them(
    objective: str, sft: Path, base: Path, pairs: Path, tmp_path: Path
):
    start = base if objective == "reward_model" else sft
    more = []
    if objective == "dpo":
        reading("reference", {}, sft, pairs, tmp_path / "reference.parquet")
        more = ["--reference", tmp_path / "reference.parquet"]
    record = train(tmp_path, start, pairs, SETTINGS[objective] | LORA, *more)
    assert record["losses"][-1] < record["losses"][0]
    if objective == "dpo":
        # The policy starts as its reference, adapters and all.
        assert record["losses"][0] == pytest.approx(np.log(2), abs=1e-6)
    trained = load_file(tmp_path / "checkpoint" / WEIGHTS)
    assert any("score" in name for name in trained) == (objective == "reward_model")
    output = tmp_path / "predictions.parquet"
    reading("predict", {"objective": objective}, tmp_path / "checkpoint", pairs, output, *more)
    z = margins(output)
    assert z.std() > 1e-3
    if objective == "reward_model":
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
        merged = PeftModel.from_pretrained(model, str(tmp_path / "checkpoint")).eval()
        tokenizer = checkpoints.load_tokenizer(tmp_path / "checkpoint")
        first = pq.read_table(pairs).to_pylist()[0]
        with torch.inference_mode():
            rewards = [
                merged(**tokenizer(first["prompt"] + first[side], return_tensors="pt")).logits
                for side in ("chosen", "rejected")
            ]
        assert z[0] == pytest.approx(float(rewards[0] - rewards[1]), abs=1e-5)


def test_the_same_run_twice_gives_the_same_bytes(base: Path, pairs: Path, tmp_path: Path):
    for name in ("one", "two"):
        train(tmp_path / name, base, pairs, SETTINGS["reward_model"] | LORA)
    for file in (tmp_path / "one/checkpoint").iterdir():
        assert file.read_bytes() == (tmp_path / "two/checkpoint" / file.name).read_bytes()


@pytest.mark.slow
def test_an_interrupted_training_goes_on_to_the_same_bytes(base, warm_process, tmp_path):
    pairs = write_pairs(tmp_path / "gt.parquet", 162)
    settings = COMMON | SETTINGS["reward_model"] | LORA | {"epochs": 3}

    def start(folder: Path):
        return warm_process.stage(
            *("train", "--settings", json.dumps(settings), "--model", base, "--pairs", pairs),
            *("--micro-batch", 8, "--threads", 1, "--states", folder / "state"),
            *("--checkpoint", folder / "checkpoint", "--record", folder / "train.json"),
            *("--metrics", folder / "metrics.jsonl"),
        )

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start(whole).wait(300) == 0
    with held(broken, lambda: start(broken)) as (training, metrics):
        (process,) = warm_process.children()
        os.kill(process, signal.SIGTERM)
        metrics.release()
        assert training.wait(300) == 1
    (state,) = (broken / "state").glob("step-*/part-*.safetensors")
    # Frozen weights are no part of what a training goes on from.
    assert all("lora" in name or "score" in name for name in load_file(state))
    assert start(broken).wait(300) == 0
    for file in (whole / "checkpoint").iterdir():
        assert file.read_bytes() == (broken / "checkpoint" / file.name).read_bytes(), file.name


@pytest.mark.parametrize("family", ["gpt2", "opt", "mistral"])
def test_frozen_matrices_are_kept_in_bfloat16_and_scores_stay_the_same(family, tmp_path):
    """Under autocast, as on a GPU: half the memory, and not a bit of the scores."""
    folder = save_base(tmp_path / family, FAMILIES[family])
    tokenizer = checkpoints.load_tokenizer(folder)
    sequences = tokenise(tokenizer, ["x"], ["some prompt"], [["a long answer"], ["hm"]], 64)
    lora = adapters.Lora(r=4, alpha=8)
    scores = []
    for shrinks in (False, True):
        torch.manual_seed(0)
        model = checkpoints.load_base(folder, Readout.MEAN_LOG_PROBABILITY, lora).eval()
        scorer = PairScorer(model, Readout.MEAN_LOG_PROBABILITY, low_precision=shrinks)
        scorer.low_precision = True
        kept = {weight.dtype for weight in model.parameters()}
        assert kept == ({torch.float32, torch.bfloat16} if shrinks else {torch.float32})
        assert all(w.dtype == torch.float32 for w in model.parameters() if w.requires_grad)
        scored = scorer(**sequences.padded(members(2, 1)))
        scored.sum().backward()
        scores.append(scored.detach())
    assert torch.equal(*scores)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / WEIGHTS).write_bytes(b"cut"), "its adapters do not open ("),
        (
            lambda folder: (folder / "adapter_config.json").write_text(
                json.dumps({"base_model_name_or_path": "results/models/gone"})
            ),
            "is an adapter of results/models/gone, which is not there; make that again first",
        ),
        (lambda folder: (folder / "adapter_config.json").write_text("{}"), "names no base model ("),
    ],
)
def test_a_broken_adapter_is_one_line(damage, message, base, pairs, tmp_path):
    train(tmp_path, base, pairs, SETTINGS["sft"] | LORA)
    damage(tmp_path / "checkpoint")
    with pytest.raises(UserError) as refused:
        checkpoints.load_trained(tmp_path / "checkpoint", Readout.MEAN_LOG_PROBABILITY)
    assert message in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_rewards_need_a_head_and_targets_need_modules(sft: Path, base: Path):
    with pytest.raises(UserError, match=r"lacks score\.weight"):
        checkpoints.load_trained(sft, Readout.REWARD)
    with pytest.raises(UserError, match=r"lora\.targets: .*; name modules of the model, or leave"):
        checkpoints.load_base(base, Readout.REWARD, adapters.Lora(targets=["q_proj"]))


def test_a_reward_head_is_redrawn_inside_its_adapter(base: Path):
    model = checkpoints.load_base(base, Readout.REWARD, adapters.Lora(r=4, alpha=8))
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    checkpoints.redraw_head(model)
    changed = [n for n, weight in model.named_parameters() if not torch.equal(weight, before[n])]
    assert changed == ["score.modules_to_save.default.weight"]
