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
from workflow_scripts.models.attention import by_block
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


def hh_parts():
    """Return about how many tokens each harmless pair has: shared prompt, chosen, rejected."""
    if not HARMLESS.exists():
        pytest.skip(f"{HARMLESS} is not here")
    rows = []
    for line in HARMLESS.read_text(encoding="utf-8").splitlines():
        texts = [json.loads(line)[side].partition("\n\nAssistant:") for side in SIDES]
        counts = [[len(WORDS.findall(text)) for text in (t[0] + t[1], t[2])] for t in texts]
        of_pair = (counts[0][0], counts[0][1], counts[1][1])
        rows.append(of_pair if texts[0][0] == texts[1][0] else (0, *map(sum, counts)))
    return np.array(rows)


def hh_lengths():
    """Return about how many tokens each harmless pair's row has, its prompt once."""
    return hh_parts().sum(1)


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


def shares(order, lengths, ranks, micro_batch, width=XL, *, skips_blocks=False):
    pack = Packing(2 * MAX_LENGTH * micro_batch, width, skips_blocks)
    return [Shares(order, lengths, micro_batch, ranks, rank, pack) for rank in range(ranks)]


@pytest.mark.parametrize("skips_blocks", [False, True])
@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
def test_ranks_have_equally_much_to_do_and_hardly_any_of_it_is_padding(ranks, skips_blocks):
    """On HH-RLHF's harmless pairs: over an epoch, against the mean and against no padding."""
    lengths = hh_lengths()
    order = shuffled(lengths, batch_size=BATCH, epochs=1, seed="shares")
    of_ranks = shares(order, lengths, ranks, 4, skips_blocks=skips_blocks)
    tokens = np.array([tokens_by_rank(of_ranks, lengths, step) for step in range(len(order))])
    assert tokens.max(1).sum() <= 1.05 * tokens.mean(1).sum()
    real = lengths[order].sum()
    assert real >= 0.97 * tokens.sum()
    # A rank cannot have less than a whole pair.
    least = np.maximum(lengths[order].sum(1) / ranks, lengths[order].max(1))
    assert tokens.max(1).sum() <= 1.05 * least.sum()
    # The micro-batch that the memory model gives gpt2-xl on an A40 holds a step.
    assert {len(of_rank[step]) for of_rank in of_ranks for step in range(len(order))} == {1}
    if skips_blocks:
        # One row then, without any padding on a rank of its own.
        rows = [micro.rows for step in range(len(order)) for micro in of_ranks[0][step]]
        assert {0 if row is None else row.max() for row in rows} == {0}
        assert ranks > 1 or tokens.sum() == real


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("micro_batch", [1, 3])
@pytest.mark.parametrize(("width", "skips_blocks"), [(8, False), (4096, False), (8, True)])
def test_every_pair_is_dealt_once_within_the_tokens_that_fit_at_once(
    ranks, micro_batch, width, skips_blocks
):
    generator = np.random.default_rng(0)
    lengths = generator.integers(2, 2 * MAX_LENGTH, 160)
    order = generator.permutation(160).reshape(-1, 16)
    of_ranks = shares(order, lengths, ranks, micro_batch, width, skips_blocks=skips_blocks)
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


@pytest.mark.slow
@pytest.mark.parametrize(("ranks", "skipped"), [(1, 0.9), (4, 0.59), (8, 0.23)])
def test_attention_by_blocks_skips_most_of_a_row_of_many_pairs(ranks, skipped):
    """In products of a query with a key, counted by torch's own block mask, at gpt2-xl's width."""
    parts = hh_parts()
    lengths = parts.sum(1)
    order = shuffled(lengths, batch_size=BATCH, epochs=1, seed="shares")[::6]
    prompt, chosen, rejected = parts.T
    causal = sum(each * (each + 1) // 2 for each in parts.T) + prompt * (chosen + rejected)
    dense, skipping = (
        [micro for of_rank in of_ranks for step in range(len(order)) for micro in of_rank[step]]
        for of_ranks in (
            shares(order, lengths, ranks, 4, skips_blocks=skips) for skips in (False, True)
        )
    )
    of_mask = 0
    for micro in dense:
        into = np.arange(len(micro.examples)) if micro.rows is None else micro.rows
        rows, width = packing(lengths[micro.examples], into)["packed"].shape
        of_mask += rows * width**2
    of_rows = sum(lengths[micro.examples].sum() ** 2 for micro in skipping)
    of_blocks = sum(products(parts[micro.examples]) for micro in skipping)
    seen = causal[order].sum()
    assert seen < of_blocks < (1 - skipped) * of_rows
    assert of_blocks < 0.8 * of_mask
    # All products of a layer, those with its weights too, against what its tokens need.
    with_weights = 6 * XL * lengths[order].sum()
    assert with_weights + of_blocks <= 1.03 * (with_weights + seen)


def products(parts):
    """Return how many products attention by blocks computes for pairs in one row."""
    of_pairs = np.repeat(np.arange(len(parts)), parts.sum(1))
    of_texts = np.repeat(np.tile(np.arange(3), len(parts)), parts.ravel())
    part, row = (torch.from_numpy(each)[None] for each in (of_texts, of_pairs))
    blocks = by_block(part, row, 2)
    height, width = blocks.BLOCK_SIZE
    return int(blocks.to_dense().sum()) * height * width
