"""With every switch on reference, a training is the reference's own loop, number by number.

That loop is restated here in plain PyTorch: pair after pair, each text alone and so without
padding, in the file's order, with torch's Adam and schedulers and no mean but the batch's.
"""

import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch.nn import functional
from transformers import (
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    set_seed,
)

from tests.shared.base_models import FAMILIES
from tests.shared.stages import run_stage
from tests.shared.trainings import COMMON, SETTINGS, metrics, train, write_pairs
from workflow_scripts.models import checkpoints

BATCH, EPOCHS, WARMUP, MAX_LENGTH, RATE, ALPHA = 8, 2, 0.3, 24, 1e-3, 0.5
PAIRS = 30  # 3.75 batches: the fourth holds the end of one epoch and the beginning of the next
REFERENCE = {
    "compat": dict.fromkeys(
        [
            "reward_pooling",
            "dpo_weak_labels",
            "explicit_trigger",
            "filter_peek",
            "bos_in_response",
            "implicit_steps",
            "sft_divisor",
        ],
        "reference",
    ),
    "data_order": "file",
    "epochs": EPOCHS,
    "max_length": MAX_LENGTH,
    "conflict": {"kind": "explicit", "alpha": ALPHA},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of inputs: two models whose token 0 is "!", pairs, and weak labels."""
    folder = tmp_path_factory.mktemp("reference")
    alphabet = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "<|endoftext|>"]
    assert alphabet[0] == "!"
    bytes_alone = Tokenizer(models.BPE({t: i for i, t in enumerate(alphabet)}, []))
    bytes_alone.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_alone.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytes_alone, eos_token="<|endoftext|>")
    set_seed(0)
    config = FAMILIES["gpt2"].__class__(**FAMILIES["gpt2"].to_dict() | {"initializer_range": 0.3})
    checkpoints.save(GPT2LMHeadModel(config), tokenizer, str(folder / "language"))
    config.num_labels = 1
    checkpoints.save(GPT2ForSequenceClassification(config), tokenizer, str(folder / "reward"))

    rows = pq.read_table(write_pairs(folder / "weak.parquet", PAIRS)).to_pylist()
    for i, row in enumerate(rows):
        row["chosen"] += "!" * (i % 3) + "ok"
        # Some responses fill the context, so that nothing predicts their first token.
        row["chosen"] += "long " * 6 * (i % 4 == 1)
        row["rejected"] += "long " * 6 * (i % 4 == 1)
    pq.write_table(pa.Table.from_pylist(rows), folder / "weak.parquet")
    labels = np.random.default_rng(0).uniform(size=PAIRS)
    pq.write_table(
        pa.table(
            {
                "id": [row["id"] for row in rows],
                "probability": labels,
                "label": (labels > 0.5).astype(int),
            }
        ),
        folder / "labels.parquet",
    )
    run_stage(
        "reference",
        *(
            "--settings",
            json.dumps({"max_length": MAX_LENGTH, "compat": {}}),
            "--model",
            folder / "language",
        ),
        *("--pairs", folder / "weak.parquet", "--micro-batch", 8, "--threads", 1),
        *("--output", folder / "reference.parquet"),
    )
    return folder


def cut(tokenizer, prompt, response):
    """Return a text's last tokens, and which of them are the response's."""
    prompt_ids, response_ids = tokenizer.encode(prompt), tokenizer.encode(response)
    mask = [False] * len(prompt_ids) + [True] * len(response_ids)
    ids = (prompt_ids + response_ids)[-MAX_LENGTH:]
    return torch.tensor([ids]), torch.tensor(mask[-MAX_LENGTH:])


def log_probabilities(model, ids, mask):
    """Return those of the response's tokens, ``[response tokens]``."""
    everywhere = model(ids).logits[0, :-1].log_softmax(-1)
    return everywhere.gather(1, ids[0, 1:, None])[mask[1:], 0]


def reward(model, ids, _mask):
    hidden = model.transformer(ids)[0]
    return model.score(hidden[0, (ids != 0).sum() - 1])[0]


def reward_model_loss(model, _frozen, chosen, rejected, probability):
    z = reward(model, *chosen) - reward(model, *rejected)
    loss = functional.binary_cross_entropy(torch.sigmoid(z), torch.tensor(probability).float())
    if z < 0:
        loss = loss + ALPHA * functional.binary_cross_entropy(torch.sigmoid(z), torch.tensor(0.0))
    return loss


def simpo_loss(model, _frozen, chosen, rejected, probability):
    truth = log_probabilities(model, *chosen).mean() - log_probabilities(model, *rejected).mean()
    ratio = truth if probability > 0.5 else -truth
    loss = -functional.logsigmoid(2.0 * ratio - 1.0)
    return loss + ALPHA * -functional.logsigmoid(-2.0 * truth - 1.0) if truth < 0 else loss


def dpo_loss(model, frozen, chosen, rejected, probability):
    policy = log_probabilities(model, *chosen).sum() - log_probabilities(model, *rejected).sum()
    with torch.no_grad():
        of_frozen = (
            log_probabilities(frozen, *chosen).sum() - log_probabilities(frozen, *rejected).sum()
        )
    truth = policy - of_frozen
    ratio = truth if probability > 0.5 else -truth
    loss = -functional.logsigmoid(0.1 * ratio)
    return loss + ALPHA * -functional.logsigmoid(-0.1 * truth) if policy < 0 else loss


def sft_loss(model, _frozen, chosen, rejected, probability):
    supervised = chosen if probability > 0.5 else rejected
    return -log_probabilities(model, *supervised).sum() / supervised[1].sum()


LOSSES = {
    "reward_model": reward_model_loss,
    "simpo": simpo_loss,
    "dpo": dpo_loss,
    "sft": sft_loss,
}


def restated(folder, objective):
    """Return the loss and the learning rate of every step of the reference's loop."""
    kind = GPT2ForSequenceClassification if objective == "reward_model" else GPT2LMHeadModel
    base = folder / ("reward" if objective == "reward_model" else "language")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(base)
    model, frozen = (kind.from_pretrained(base).eval() for _ in range(2))
    labels = pq.read_table(folder / "labels.parquet")["probability"].to_pylist()
    data = [
        [cut(tokenizer, row["prompt"], row[side]) for side in ("chosen", "rejected")] + [label]
        for row, label in zip(
            pq.read_table(folder / "weak.parquet").to_pylist(), labels, strict=True
        )
    ]
    assert any(len(ids[0]) == MAX_LENGTH and not mask.all() for (ids, mask), _, _ in data)
    assert any(mask.all() for (_, mask), _, _ in data)
    steps = PAIRS * EPOCHS // BATCH
    stream = itertools.chain.from_iterable(itertools.repeat(data, EPOCHS))
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    if objective == "reward_model":
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    else:
        warm = int(steps * WARMUP) + 1
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min(1.0, (k + 1) / warm))
    losses, rates = [], []
    for _ in range(steps):
        batch = [LOSSES[objective](model, frozen, *next(stream)) for _ in range(BATCH)]
        loss = torch.stack(batch).mean()
        losses.append(loss.item())
        rates.append(schedule.get_last_lr()[0])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return losses, rates


@pytest.mark.parametrize("objective", LOSSES)
def test_a_training_follows_the_references_loop_step_by_step(objective, folder, tmp_path):
    expected, rates = restated(folder, objective)
    of_scenario = {"schedule": "cosine", "warmup": 0.0}
    if objective != "reward_model":
        of_scenario = {"schedule": "constant", "warmup": WARMUP}
    settings = SETTINGS[objective] | REFERENCE | of_scenario | {"learning_rate": RATE}
    more = ["--weak-labels", folder / "labels.parquet"]
    if objective == "dpo":
        more += ["--reference", folder / "reference.parquet"]
    base = folder / ("reward" if objective == "reward_model" else "language")
    record = train(tmp_path, base, folder / "weak.parquet", settings, *more, micro_batch=4)
    assert record["losses"] == pytest.approx(expected, abs=1e-5)
    assert len(expected) == 7
    assert [line["learning_rate"] for line in metrics(tmp_path)] == pytest.approx(rates)
    assert record["settings"] == json.loads(json.dumps(COMMON | settings))

    # No switch is idle here: the mended arithmetic goes another way.
    fixed = settings | {"compat": {}}
    mended = train(tmp_path, base, folder / "weak.parquet", fixed, *more, micro_batch=4)
    differs = abs(np.array(mended["losses"]) - expected).max() > 1e-3
    assert differs == (objective in ("reward_model", "dpo", "sft"))
