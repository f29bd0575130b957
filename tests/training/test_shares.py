"""How a batch is dealt to ranks and cut into micro-batches, counted in tokens and operations."""

import json
import re
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForSequenceClassification, GPT2Config

from tests.shared.workflows import HH
from workflow_scripts.methods.readout import Readout
from workflow_scripts.models.rows import packing
from workflow_scripts.models.scorer import PairScorer
from workflow_scripts.models.tokenise import TokenSequences, members
from workflow_scripts.training.data_order import shuffled
from workflow_scripts.training.shares import MicroBatch, Packing, Shares

HARMLESS = HH / "harmless_train_gt.jsonl"
WORDS = re.compile(r"'\w+| ?\w+| ?[^\s\w]+|\s+")
"""What GPT-2 cuts texts into before it looks for tokens; most words are one."""
BATCH, MAX_LENGTH = 32, 512
SIDES = ("chosen", "rejected")
XL = 1600
"""The width of gpt2-xl."""


def hh_lengths():
    """Return about how many tokens each harmless pair's row has, its prompt once."""
    if not HARMLESS.exists():
        pytest.skip(f"{HARMLESS} is not here")
    rows = []
    for line in HARMLESS.read_text(encoding="utf-8").splitlines():
        texts = [json.loads(line)[side].partition("\n\nAssistant:") for side in SIDES]
        counts = [[len(WORDS.findall(text)) for text in (t[0] + t[1], t[2])] for t in texts]
        shared = texts[0][0] == texts[1][0]
        rows.append(counts[0][0] + counts[0][1] + counts[1][1] + (0 if shared else counts[1][0]))
    return np.array(rows)


def tokens_by_rank(shares_of_ranks, lengths, step):
    """Return how many tokens each rank's model goes through in a step, padding included."""
    tokens = []
    for shares in shares_of_ranks:
        widths = [
            packing(lengths[micro.examples], rows)["packed"].shape
            for micro in shares[step]
            for rows in [np.arange(len(micro.examples)) if micro.rows is None else micro.rows]
        ]
        tokens.append(sum(rows * width for rows, width in widths))
    return np.array(tokens)


def shares(order, lengths, ranks, micro_batch, width=XL):
    pack = Packing(2 * MAX_LENGTH * micro_batch, width)
    return [Shares(order, lengths, micro_batch, ranks, rank, pack) for rank in range(ranks)]


@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
def test_ranks_have_equally_much_to_do_and_hardly_any_of_it_is_padding(ranks):
    """On HH-RLHF's harmless pairs: over an epoch, against the mean and against no padding."""
    lengths = hh_lengths()
    order = shuffled(lengths, batch_size=BATCH, epochs=1, seed="shares")
    of_ranks = shares(order, lengths, ranks, 4)
    tokens = np.array([tokens_by_rank(of_ranks, lengths, step) for step in range(len(order))])
    assert tokens.max(1).sum() <= 1.05 * tokens.mean(1).sum()
    real = lengths[order].sum()
    assert real >= 0.97 * tokens.sum()
    # A rank cannot have less than a whole pair.
    least = np.maximum(lengths[order].sum(1) / ranks, lengths[order].max(1))
    assert tokens.max(1).sum() <= 1.05 * least.sum()
    # The micro-batch that the memory model gives gpt2-xl on an A40 holds a step.
    assert {len(of_rank[step]) for of_rank in of_ranks for step in range(len(order))} == {1}


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("micro_batch", [1, 3])
@pytest.mark.parametrize("width", [8, 4096])
def test_every_pair_is_dealt_once_within_the_tokens_that_fit_at_once(ranks, micro_batch, width):
    generator = np.random.default_rng(0)
    lengths = generator.integers(2, 2 * MAX_LENGTH, 160)
    order = generator.permutation(160).reshape(-1, 16)
    of_ranks = shares(order, lengths, ranks, micro_batch, width)
    for step, batch in enumerate(order):
        dealt = [of_rank[step] for of_rank in of_ranks]
        assert len({len(micros) for micros in dealt}) == 1
        examples = np.concatenate([micro.examples for micros in dealt for micro in micros])
        assert sorted(examples) == sorted(batch)
        for micro in (micro for micros in dealt for micro in micros):
            own = lengths[micro.examples]
            rows = np.arange(len(own)) if micro.rows is None else micro.rows
            assert packing(own, rows)["packed"].numel() <= 2 * MAX_LENGTH * micro_batch


def test_pairs_of_one_length_are_not_packed_and_cpus_alone_keep_the_order():
    order, lengths = np.arange(64).reshape(2, 32), np.full(64, 128)
    (alone,) = shares(order, lengths, 1, 8)
    assert [micro.rows for micro in alone[0]] == [None]
    plain = Shares(order, lengths, micro_batch=8)
    assert np.concatenate([micro.examples for micro in plain[1]]).tolist() == order[1].tolist()
    assert [len(micro.examples) for micro in plain[1]] == [8] * 4


def random_pairs(lengths):
    """Return random pairs whose rows have such lengths, a third of each its prompt."""
    prompts = np.maximum(2, lengths // 3)
    responses = lengths - prompts
    chosen = np.maximum(1, responses // 2)
    of_texts = np.concatenate([prompts + chosen, prompts + np.maximum(1, responses - chosen)])
    starts = np.cumsum(of_texts) - of_texts
    tokens = np.ones(of_texts.sum(), np.int64)
    return TokenSequences(tokens, starts, of_texts, np.tile(prompts, 2))


@pytest.mark.slow
def test_a_step_computes_hardly_more_than_its_tokens_need(monkeypatch):
    """In floating-point operations that torch counts, forward and backward, at gpt2-xl's width."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    lengths = hh_lengths()
    order = shuffled(lengths, batch_size=BATCH, epochs=1, seed="shares")[:2]
    sequences = random_pairs(lengths)
    rows = members(len(sequences), len(lengths))
    with torch.device("meta"):
        config = GPT2Config(n_embd=XL, n_head=25, n_layer=2)
        config.num_labels = 1
        model = AutoModelForSequenceClassification.from_config(config)
    scorer = PairScorer(model, Readout.REWARD)

    def operations(micro_batches):
        with FlopCounterMode(display=False) as counter:
            for micro in micro_batches:
                batch = sequences.padded(rows[micro.examples])
                if micro.rows is not None:
                    batch |= packing(sequences.row_lengths(rows[micro.examples]), micro.rows)
                scores = scorer(**{name: tensor.to("meta") for name, tensor in batch.items()})
                scores.sum().backward()
        return counter.get_total_flops()

    (of_rank,) = shares(order, sequences.row_lengths(rows), 1, 4)
    executed = sum(operations(of_rank[step]) for step in range(len(order)))
    alone = [[MicroBatch(np.array([pair])) for pair in batch] for batch in order]
    assert executed <= 1.1 * sum(map(operations, alone))
    padded = [[MicroBatch(batch)] for batch in order]
    assert executed <= 0.5 * sum(map(operations, padded))
