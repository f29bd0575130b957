"""Real trainings and scorings of tiny models, through the stages that the rules run."""

import argparse
import importlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GPT2Config,
    GPTNeoXConfig,
    Lfm2Config,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    set_seed,
)

from workflow_scripts.core.errors import UserError
from workflow_scripts.data import pairs as data_pairs
from workflow_scripts.methods import losses
from workflow_scripts.methods.readout import Readout
from workflow_scripts.models import checkpoints
from workflow_scripts.models import margins as model_margins
from workflow_scripts.models.scorer import PairScorer, shares_prompts
from workflow_scripts.models.tokenise import members, one_a_row, tokenise
from workflow_scripts.training import data_order
from workflow_scripts.training.pretraining import window_starts

END = "<|endoftext|>"
ADAM = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
SETTINGS = {
    "reward_model": {"objective": "reward_model"},
    "simpo": {"objective": "simpo", "beta": 2.0, "gamma": 1.0},
    "dpo": {"objective": "dpo", "beta": 0.1},
    "sft": {"objective": "sft"},
}
COMMON = {
    "epochs": 1,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "warmup": 0.0,
    "batch_size": 8,
    "max_length": 48,
    "adam": ADAM,
    "seed": "weak_to_strong/test/seed0",
}
SMALL: dict[str, Any] = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
SMALL |= {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None, "vocab_size": 257}
FAMILIES = {
    "gpt2": GPT2Config(**SMALL, n_embd=16),
    "opt": OPTConfig(**SMALL, hidden_size=16, ffn_dim=32, word_embed_proj_dim=16),
    "opt-350m": OPTConfig(
        **SMALL, hidden_size=16, ffn_dim=32, word_embed_proj_dim=8, do_layer_norm_before=False
    ),
    "llama": LlamaConfig(**SMALL, hidden_size=16, intermediate_size=32),
    "mistral": MistralConfig(**SMALL, hidden_size=16, intermediate_size=32, num_key_value_heads=2),
    "gpt_neox": GPTNeoXConfig(**SMALL, hidden_size=16, intermediate_size=32),
    "qwen2": Qwen2Config(**SMALL, hidden_size=16, intermediate_size=32, num_key_value_heads=2),
}


def run(stage: str, *arguments: object) -> None:
    module = importlib.import_module(f"workflow_scripts.stages.{stage}")
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    module.run(parser.parse_args([str(argument) for argument in arguments]))


def save_base(folder: Path, config) -> Path:
    """Save a model with random, larger than usual, weights and a tokenizer of one token a byte."""
    set_seed(0)
    config.initializer_range = 0.3
    model = AutoModelForCausalLM.from_config(config)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate([END, *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END)
    checkpoints.save(model, fast, str(folder))
    return folder


def write_pairs(path: Path, count: int, seed: int = 0) -> Path:
    generator = np.random.default_rng(seed)

    def text(low: int, high: int) -> str:
        return "".join(generator.choice(list("abcdefgh "), generator.integers(low, high)))

    rows = [
        {
            "id": f"{path.stem}-{row:06d}",
            "prompt": "Q: " + text(3, 20),
            "chosen": "yes " + text(1, 15),
            "rejected": "no " + text(1, 15),
        }
        for row in range(count)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_base(tmp_path_factory.mktemp("models") / "base", FAMILIES["gpt2"])


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("data") / "gt.parquet", 34)


def train(folder, base, pairs, settings, *more, micro_batch=8):
    run(
        "train",
        *("--settings", json.dumps(COMMON | settings), "--model", base, "--pairs", pairs),
        *("--micro-batch", micro_batch, "--threads", 1, "--checkpoint", folder / "checkpoint"),
        *("--record", folder / "train.json", "--metrics", folder / "metrics.jsonl", *more),
    )
    return json.loads((folder / "train.json").read_text())


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(folder):
    return load_file(folder / "checkpoint" / "model.safetensors")


def margins(path):
    return pq.read_table(path)["margin"].to_numpy()


@pytest.fixture(scope="module")
def reference(base, pairs, tmp_path_factory):
    """Log-probabilities under the base model, in batches unlike those of any training here."""
    path = tmp_path_factory.mktemp("reference") / "reference.parquet"
    settings = json.dumps({"max_length": 48})
    run(
        "reference",
        *("--settings", settings, "--model", base, "--pairs", pairs),
        *("--micro-batch", 3, "--threads", 1, "--output", path),
    )
    return path


def needed(objective, reference):
    return ["--reference", reference] if objective == "dpo" else []


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_are_scored_with_their_prompt_once_as_they_are_alone(family, tmp_path):
    folder = save_base(tmp_path / family, FAMILIES[family])
    tokenizer = checkpoints.load_tokenizer(str(folder))
    # A usual pair, one with a prompt of a token, one whose prompts are cut to different lengths,
    # one of which two responses fill all the length that there is.
    prompts = ["some prompt", "p", "a prompt of thirty characters.", "gone"]
    chosen = ["quite a long answer", "hm", "in a word, no", "x" * 40]
    rejected = ["!", "a middling one", "b", "y" * 40]
    sequences = tokenise(tokenizer, ["w", "x", "y", "z"], prompts, [chosen, rejected], 32)
    rows = members(8, 4)
    assert sequences.row_lengths(rows).tolist() == [11 + 19 + 1, 2 + 1 + 15, 32 + 31, 32 + 32]
    for readout in Readout:
        set_seed(1)
        model = checkpoints.load_base(str(folder), readout)
        if readout.is_reward:
            torch.nn.init.normal_(model.get_parameter("score.weight"))
        scorer = PairScorer(model.eval(), readout)
        assert shares_prompts(model)
        with torch.inference_mode():
            together = scorer(**sequences.padded(rows))
            by_text = scorer(**sequences.padded(one_a_row(rows)))
            alone = torch.cat([scorer(**sequences.padded(np.array([[row]]))) for row in range(8)])
            by_hand = torch.stack([score_by_hand(model, readout, sequences, r) for r in range(8)])
        assert together.std() > 0.01
        torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
        torch.testing.assert_close(together, by_text, rtol=0, atol=1e-5)
        torch.testing.assert_close(together.double(), by_hand, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "opt", "mistral"])
@pytest.mark.parametrize("readout", [Readout.REWARD, Readout.SUMMED_LOG_PROBABILITY])
def test_bfloat16_is_of_the_products_and_not_of_weights_gradients_and_scores(
    family, readout, tmp_path
):
    """What a GPU that has it computes with; here autocast does the same on the CPU."""
    folder = save_base(tmp_path / family, FAMILIES[family])
    tokenizer = checkpoints.load_tokenizer(str(folder))
    columns = [["quite a long answer", "c!"], ["hm", "a middling one"]]
    sequences = tokenise(tokenizer, ["x", "y"], ["some prompt", "another"], columns, 64)
    model = checkpoints.load_base(str(folder), readout)
    if readout.is_reward:
        torch.nn.init.normal_(model.get_parameter("score.weight"))
    scores, gradients = [], []
    for low_precision in (False, True):
        model.zero_grad()
        scorer = PairScorer(model, readout, low_precision=low_precision)
        scored = scorer(**sequences.padded(members(4, 2)))
        scored.sum().backward()
        scores.append(scored.detach())
        embeddings = next(model.parameters())
        assert embeddings.grad is not None
        gradients.append(embeddings.grad.clone())
    assert {tensor.dtype for tensor in gradients} == {torch.float32}
    assert scores[0].dtype == scores[1].dtype
    for full, low in (scores, gradients):
        error = (low - full).norm() / full.norm()
        assert 0 < error < 0.2  # random weights this large amplify the least error


def test_a_family_that_cannot_share_prompts_has_each_text_by_itself(tmp_path):
    """A text before another in its row would be seen by it, say in convolutions."""
    shape: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_key_value_heads": 2}
    shape |= SMALL
    shape["layer_types"] = ["conv", "full_attention"]
    config = Lfm2Config(**shape)
    folder = save_base(tmp_path / "convolutional", config)
    pairs = write_pairs(tmp_path / "pairs.parquet", 8)
    model = checkpoints.load_base(str(folder), Readout.MEAN_LOG_PROBABILITY).eval()
    assert not shares_prompts(model)
    given = {**COMMON, **SETTINGS["simpo"], "learning_rate": 1e-9}
    record = train(tmp_path / "trained", folder, pairs, given)
    rows = pq.read_table(pairs).to_pydict()
    texts = [rows["chosen"], rows["rejected"]]
    tokenizer = checkpoints.load_tokenizer(str(folder))
    sequences = tokenise(tokenizer, rows["id"], rows["prompt"], texts, COMMON["max_length"])
    with torch.inference_mode():
        scores = model_margins.in_batches(
            PairScorer(model, Readout.MEAN_LOG_PROBABILITY), sequences, 99
        )
        by_hand = [
            score_by_hand(model, Readout.MEAN_LOG_PROBABILITY, sequences, r) for r in range(16)
        ]
    np.testing.assert_allclose(scores, np.array(by_hand), atol=1e-5)
    margins = torch.from_numpy(scores[:8] - scores[8:])
    loss = losses.simpo(margins, torch.ones(8), beta=2.0, gamma=1.0).mean()
    assert record["losses"] == pytest.approx([float(loss)], abs=1e-5)


def score_by_hand(model, readout, sequences, row):
    """Score one text from the model's own outputs at every position."""
    tokens = torch.tensor(sequences.tokens[sequences.starts[row] :][: sequences.lengths[row]])
    logits = model(input_ids=tokens[None].long()).logits[0].double()
    if readout.is_reward:
        return logits[0]
    log_probabilities = logits.log_softmax(-1)
    response = range(int(sequences.response_starts[row]), len(tokens))
    scores = torch.stack([log_probabilities[i - 1, tokens[i]] for i in response])
    return scores.mean() if readout is Readout.MEAN_LOG_PROBABILITY else scores.sum()


def test_dropout_is_off_whatever_it_is_called():
    for config in FAMILIES.values():
        rates = checkpoints.without_dropout(type(config)()).to_dict()
        assert {name: r for name, r in rates.items() if "drop" in name and r} == {}


@pytest.mark.parametrize("objective", SETTINGS)
def test_the_result_does_not_depend_on_the_micro_batch(objective, base, pairs, reference, tmp_path):
    # An epsilon well above float error: Adam divides gradients that are 0 but for it by their size.
    settings = SETTINGS[objective] | {"adam": ADAM | {"epsilon": 1e-4}}
    more = needed(objective, reference)
    records = {
        size: train(tmp_path / str(size), base, pairs, settings, *more, micro_batch=size)
        for size in (1, 4, 8)
    }
    for size in (1, 4):
        assert records[size]["losses"] == pytest.approx(records[8]["losses"], abs=1e-6)
        assert records[size]["tokens"] == records[8]["tokens"]
        expected = weights(tmp_path / "8")
        for name, weight in weights(tmp_path / str(size)).items():
            torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-6)
    start = load_file(base / "model.safetensors")
    assert max((weights(tmp_path / "8")[n] - w).abs().max() for n, w in start.items()) > 1e-4


@pytest.mark.parametrize("objective", ["reward_model", "dpo"])
def test_the_same_run_twice_gives_the_same_bytes(objective, base, pairs, reference, tmp_path):
    settings, more = SETTINGS[objective], needed(objective, reference)
    for name in ("one", "two"):
        train(tmp_path / name, base, pairs, settings, *more)
    files = sorted(path.name for path in (tmp_path / "one" / "checkpoint").iterdir())
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(files)
    for name in files:
        one, two = (tmp_path / run / "checkpoint" / name for run in ("one", "two"))
        assert one.read_bytes() == two.read_bytes(), name
    other_seed = settings | {"seed": "weak_to_strong/test/seed1"}
    train(tmp_path / "other", base, pairs, other_seed, *more)
    one, other = weights(tmp_path / "one"), weights(tmp_path / "other")
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("conflict", [{"kind": "none"}, {"kind": "explicit", "alpha": 0.5}])
@pytest.mark.parametrize("micro_batch", [2, 8])
def test_dpo_starts_at_ln_2(micro_batch, conflict, base, pairs, reference, tmp_path):
    """An explicit conflict adds nothing to it: a model that is its reference does no harm yet."""
    settings = SETTINGS["dpo"] | {"conflict": conflict}
    # A reference which rounding has put above the model's own margins, wherever it had not.
    table = pq.read_table(reference).to_pydict()
    table["chosen"] = [score + 1e-6 for score in table["chosen"]]
    pq.write_table(pa.table(table), tmp_path / "rounded.parquet")
    more = needed("dpo", tmp_path / "rounded.parquet")
    record = train(tmp_path, base, pairs, settings, *more, micro_batch=micro_batch)
    assert record["losses"][0] == pytest.approx(math.log(2), abs=1e-6)
    assert record["losses"][-1] != pytest.approx(math.log(2), abs=1e-4)


def test_first_losses_are_the_formulas_of_the_predicted_margins(base, pairs, tmp_path):
    """The first step's loss, before any update, from the margins that ``predict`` writes."""
    ids = pq.read_table(pairs)["id"].to_pylist()
    run(
        "predict",
        *("--settings", json.dumps(SETTINGS["simpo"] | {"max_length": 48}), "--model", base),
        *("--pairs", pairs, "--micro-batch", 5, "--threads", 1, "--output", tmp_path / "p.parquet"),
    )
    z = margins(tmp_path / "p.parquet")
    assert pq.read_table(tmp_path / "p.parquet")["id"].to_pylist() == ids
    weak = np.arange(34) % 2
    label_file = tmp_path / "weak.parquet"
    backwards = slice(None, None, -1)  # rows are matched by id, not by place
    pq.write_table(
        pa.table({"id": ids[backwards], "label": weak[backwards], "probability": weak / 2}),
        label_file,
    )
    whole = {"batch_size": 34, "conflict": {"kind": "explicit", "alpha": 0.5}}
    settings = SETTINGS["simpo"] | whole
    record = train(tmp_path, base, pairs, settings, "--weak-labels", label_file, micro_batch=34)
    side = 2 * weak - 1
    of_labels = np.logaddexp(0, -(2 * side * z - 1))
    of_reversed_truth = np.logaddexp(0, 2 * z + 1)
    assert 0 < (z < 0).sum() < 34
    expected = (of_labels + 0.5 * np.where(z < 0, of_reversed_truth, 0)).mean()
    assert record["losses"] == pytest.approx([expected], abs=1e-6)
    (line,) = metrics(tmp_path)
    assert line["margin"] == pytest.approx(z.mean(), abs=1e-6)
    assert line["accuracy"] == pytest.approx((np.sign(z) == side).mean())


def test_implicit_conflict_mixes_in_the_helpful_pairs_and_doubles_the_steps(base, pairs, tmp_path):
    helpful = write_pairs(tmp_path / "helpful.parquet", 34, seed=1)
    ids = pq.read_table(pairs)["id"].to_pylist()
    labels = tmp_path / "weak.parquet"
    pq.write_table(pa.table({"id": ids, "probability": [0.5] * 34, "label": [0] * 34}), labels)
    settings = SETTINGS["reward_model"] | {"conflict": {"kind": "implicit"}}
    more = ["--weak-labels", labels, "--helpful", helpful]
    record = train(tmp_path, base, pairs, settings, *more)
    assert (record["steps"], record["pairs"]) == (8, 68)
    with pytest.raises(UserError, match="--helpful"):
        train(tmp_path, base, pairs, settings, "--weak-labels", labels)


@pytest.mark.parametrize(
    ("kind", "mode", "per_epoch"),
    [
        ("implicit_matched", "fixed", 4),
        ("implicit_matched", "reference", 8),
        ("implicit", "reference", 8),
        ("none", "reference", 4),
    ],
)
def test_matched_mixture_takes_the_steps_of_the_labels_alone_or_all_mixtures_twice_as_many(
    kind, mode, per_epoch, base, pairs, tmp_path
):
    helpful = write_pairs(tmp_path / "helpful.parquet", 34, seed=1)
    settings = SETTINGS["reward_model"] | {"conflict": {"kind": kind}, "epochs": 2}
    settings |= {"compat": {"implicit_steps": mode}}
    record = train(tmp_path, base, pairs, settings, "--helpful", helpful)
    assert (record["steps"], record["pairs"]) == (2 * per_epoch, 34 if kind == "none" else 68)


@pytest.mark.parametrize(
    ("objective", "threshold", "kept"),
    [
        ("reward_model", 0.75, 17),  # as sure of a wrong answer as of a right one
        ("simpo", 0.75, 17),  # not the labels, which are 0 and 1
        ("reward_model", 0.5, 34),
    ],
)
def test_filter_keeps_confident_labels_and_as_many_helpful_pairs(
    objective, threshold, kept, base, pairs, tmp_path
):
    helpful = write_pairs(tmp_path / "helpful.parquet", 34, seed=1)
    ids = pq.read_table(pairs)["id"].to_pylist()
    probability = [0.75, 0.74, 0.25, 0.26] * 8 + [1.0, 0.5]
    labels = tmp_path / "weak.parquet"
    columns = {"id": ids, "probability": probability, "label": [int(p > 0.5) for p in probability]}
    pq.write_table(pa.table(columns), labels)
    settings = SETTINGS[objective] | {"conflict": {"kind": "implicit"}}
    settings |= {"student": {"name": "sure", "filter": threshold, "through": []}}
    record = train(tmp_path, base, pairs, settings, "--weak-labels", labels, "--helpful", helpful)
    assert record["pairs"] == 2 * kept
    if threshold > 0.5:
        settings |= {"student": {"filter": 0.9}, "conflict": {"kind": "none"}}
        with pytest.raises(UserError, match="1 pairs do not fill"):
            train(tmp_path, base, pairs, settings, "--weak-labels", labels)


def test_high_confidence_is_of_either_answer():
    probability = np.array([0.8, 0.75, 0.7, 0.5, 0.3, 0.25, 0.1])
    kept = data_pairs.high_confidence(probability, 0.75, peek=False)
    assert kept.tolist() == [True, True, False, False, False, True, True]


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("cosine", 0.0, [(1 + math.cos(math.pi * k / 12)) / 2 for k in range(12)]),
        ("constant", 0.1, [1 / 2] + [1.0] * 11),  # 10 % of 12 steps, rounded down, are 1
        ("constant", 0.3, [1 / 4, 2 / 4, 3 / 4] + [1.0] * 9),
    ],
)
def test_learning_rate_schedules(schedule, warmup, expected, base, pairs, tmp_path):
    settings = SETTINGS["reward_model"] | {"schedule": schedule, "warmup": warmup, "epochs": 3}
    record = train(tmp_path, base, pairs, settings)
    rates = [line["learning_rate"] for line in metrics(tmp_path)]
    assert rates == pytest.approx([1e-3 * factor for factor in expected])
    assert record["losses"] == pytest.approx([line["loss"] for line in metrics(tmp_path)], abs=1e-6)


def test_each_epoch_is_a_permutation_in_batches_sorted_by_length():
    lengths = np.random.default_rng(0).integers(5, 50, 35)
    order = data_order.shuffled(lengths, batch_size=8, epochs=3, seed="a")
    assert order.shape == (12, 8)
    epochs = [set(order[i : i + 4].ravel()) for i in (0, 4, 8)]
    assert [len(epoch) for epoch in epochs] == [32] * 3
    assert epochs[0] != epochs[1]
    assert (np.diff(lengths[order], axis=1) >= 0).all()
    np.testing.assert_array_equal(
        order, data_order.shuffled(lengths, batch_size=8, epochs=3, seed="a")
    )
    assert (order != data_order.shuffled(lengths, batch_size=8, epochs=3, seed="b")).any()


def test_a_cut_epoch_draws_anew_from_all_examples():
    order = data_order.shuffled(np.ones(64, int), batch_size=8, epochs=16, seed="a", per_epoch=35)
    assert order.shape == (16 * 4, 8)
    assert all(len(set(epoch)) == 32 for epoch in order.reshape(16, 32))
    assert set(order.ravel()) == set(range(64))


def test_a_loss_that_is_not_finite_stops_before_the_update_and_names_step_and_pairs(
    base, pairs, tmp_path
):
    broken = save_base(tmp_path / "broken", FAMILIES["gpt2"])
    tokenizer = AutoTokenizer.from_pretrained(broken)
    tensors = load_file(broken / "model.safetensors")
    tensors["transformer.wte.weight"][tokenizer.convert_tokens_to_ids("~")] = math.nan
    save_file(tensors, broken / "model.safetensors", {"format": "pt"})
    rows = pq.read_table(pairs).to_pylist()
    rows[4]["chosen"] += "~"
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "gt.parquet")
    with pytest.raises(UserError, match=r"not finite at step \d, pairs gt-000004;"):
        train(tmp_path, broken, tmp_path / "gt.parquet", SETTINGS["reward_model"], micro_batch=2)
    assert not (tmp_path / "checkpoint").exists()


def test_checkpoints_open_with_transformers_and_score_as_in_training(base, pairs, tmp_path):
    train(tmp_path, base, pairs, SETTINGS["reward_model"])
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "checkpoint").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "checkpoint")
    run(
        "weak_labels",
        *("--settings", json.dumps({"objective": "reward_model", "max_length": 48}), "--model"),
        *(tmp_path / "checkpoint", "--pairs", pairs, "--micro-batch", 4, "--threads", 1),
        *("--output", tmp_path / "labels.parquet"),
    )
    labels = pq.read_table(tmp_path / "labels.parquet").to_pydict()
    z = np.array(labels["margin"])
    np.testing.assert_allclose(labels["probability"], 1 / (1 + np.exp(-z)), rtol=1e-9)
    assert labels["label"] == (z > 0).astype(int).tolist()
    assert set(labels["true_label"]) == {1}
    first = pq.read_table(pairs).to_pylist()[0]
    with torch.inference_mode():
        rewards = [
            model(**tokenizer(first["prompt"] + first[side], return_tensors="pt")).logits.item()
            for side in ("chosen", "rejected")
        ]
    assert z[0] == pytest.approx(rewards[0] - rewards[1], abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "more", "message"),
    [
        (SETTINGS["dpo"], [], "give --reference"),
        (SETTINGS["dpo"], ["--reference", "{few}"], r"no row for pair gt-000001 \(33 of 34"),
        (SETTINGS["simpo"], ["--weak-labels", "{few}"], r"cannot be read as a table of id, label"),
        (SETTINGS["sft"] | {"batch_size": 64}, [], "34 pairs do not fill one batch of 64"),
        (SETTINGS["sft"] | {"batch_size": 12}, [], "micro-batch 8 does not divide"),
        (SETTINGS["sft"] | {"max_length": 512}, ["--pairs", "{long}"], "the model 64 positions"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(settings, more, message, base, pairs, tmp_path):
    few, long = tmp_path / "few.parquet", tmp_path / "long.parquet"
    pq.write_table(pa.table({"id": ["gt-000000"], "chosen": [0.0], "rejected": [0.0]}), few)
    rows = pq.read_table(pairs).to_pylist()
    rows[0]["prompt"] *= 20
    pq.write_table(pa.Table.from_pylist(rows), long)
    more = [argument.format(few=few, long=long) for argument in more]
    with pytest.raises(UserError, match=message) as error:
        train(tmp_path, base, pairs, settings, *more)
    assert "\n" not in str(error.value)


def test_a_checkpoint_without_reward_head_gives_no_rewards(base, pairs, tmp_path):
    settings = json.dumps({"objective": "reward_model", "max_length": 48})
    with pytest.raises(UserError, match=r"lacks score\.weight"):
        run(
            "predict",
            *("--settings", settings, "--model", base, "--pairs", pairs, "--micro-batch", 4),
            *("--threads", 1, "--output", tmp_path / "p.parquet"),
        )


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_pretraining_from_a_corpus_learns_and_can_be_repeated(family, tmp_path):
    colours, things = ("red", "blue", "green", "grey"), ("dog", "cat", "cow")
    corpus = [f"the {colour} fox jumps over the {thing}" for colour in colours for thing in things]
    corpus *= 10
    pq.write_table(pa.table({"text": corpus}), tmp_path / "corpus.parquet")
    run(
        "tokenizer",
        *("--settings", json.dumps({"kind": "word"}), "--texts", tmp_path / "corpus.parquet"),
        *("--tokenizer", tmp_path / "tokenizer", "--tokens", tmp_path / "tokens.npy"),
    )
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    tokens = np.load(tmp_path / "tokens.npy")
    assert tokenizer.decode(tokens[:9]) == corpus[0] + " " + tokenizer.eos_token + " the"
    settings = {
        "architecture": {"family": family, "width": 16, "layers": 1, "heads": 2, "context": 16},
        **{"steps": 40, "batch_size": 16, "sequence_length": 12},
        **{"learning_rate": 1e-2, "seed": "models/tiny", "tokens": None},
    }
    for name in ("one", "two"):
        run(
            "pretrain",
            *("--settings", json.dumps(settings), "--tokenizer", tmp_path / "tokenizer"),
            *("--tokens", tmp_path / "tokens.npy", "--micro-batch", 16, "--threads", 1),
            *("--output", tmp_path / name, "--record", tmp_path / f"{name}.json"),
            *("--metrics", tmp_path / f"{name}.jsonl"),
        )
    one, two = (tmp_path / name / "model.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    losses = json.loads((tmp_path / "one.json").read_text())["losses"]
    assert losses[-1] < 0.5 * math.log(len(tokenizer)) < losses[0]
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "one")
    prompt = tokenizer("the red fox jumps over", return_tensors="pt")
    assert tokenizer.decode(model(**prompt).logits[0, -1].argmax()) == "the"


def test_windows_cover_the_corpus_evenly():
    starts = window_starts(1000, 10, 500, seed="a")
    seen = np.zeros(1000)
    for start in starts:
        seen[start : start + 10] += 1
    assert seen.sum() == 5000
    assert seen[10:-10].min() >= 4
    assert seen.max() <= 6


def test_a_pretrained_model_may_be_cut_to_its_first_layers(base, tmp_path):
    np.save(tmp_path / "tokens.npy", np.random.default_rng(0).integers(257, size=400))
    settings = {
        "architecture": {"family": "gpt2", "width": 16, "layers": 2, "heads": 2, "context": 32},
        **{"steps": 3, "batch_size": 4, "sequence_length": 16, "learning_rate": 1e-3},
        **{"tokens": None, "seed": "models/cut"},
    }
    for name, depth in (("whole", {}), ("cut", {"depth": 1})):
        folder = tmp_path / name
        run(
            "pretrain",
            *("--settings", json.dumps(settings | depth), "--tokenizer", base),
            *("--tokens", tmp_path / "tokens.npy", "--micro-batch", 4, "--threads", 1),
            *("--output", folder / "checkpoint", "--record", folder / "train.json"),
            *("--metrics", folder / "metrics.jsonl"),
        )
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert {name for name in whole if ".h.1." not in name} == set(cut)
    assert all(torch.equal(cut[name], whole[name]) for name in cut)
