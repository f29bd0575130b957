"""What attention by blocks skips, and where it is used."""

from functools import partial

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.attention.flex_attention import create_mask
from transformers import AutoModelForCausalLM

from tests.shared.base_models import FAMILIES, UNLIKE
from tests.shared.kernels import run_eagerly
from workflow_scripts.models import attention

SKIPPING = {*FAMILIES, "a window", "a window in some layers"}
"""The windows are narrower than these texts, so their own attention sees to them."""


@pytest.mark.parametrize("family", FAMILIES | UNLIKE)
def test_blocks_are_skipped_where_a_plain_softmax_takes_a_mask(family, monkeypatch):
    run_eagerly(monkeypatch)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config((FAMILIES | UNLIKE)[family])
    assert attention.can_skip_blocks(model) == (family in SKIPPING)
    # What a GPU's kernel has no backward pass for, nor a CPU for any.
    monkeypatch.undo()
    assert not attention.can_skip_blocks(model)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [attention.has_kernel(width) for width in (15, 16)] == [False, True]


def test_what_is_skipped_is_what_the_dense_mask_masks():
    """Pairs of 30 to 200 tokens, as they lie in packed rows, and each in a row of its own."""
    generator = np.random.default_rng(0)
    for is_packed in (True, False):
        part, row = rows_of_pairs(generator, is_packed=is_packed)
        tokens = part.shape[1]
        assert tokens > 128
        dense = attention.dense(part, row if is_packed else None, 2, torch.float32)
        blocks = attention.by_block(part, row if is_packed else None, 2)
        size = blocks.shape[-1]
        assert size % attention.LENGTH == 0
        # Blocks that are not skipped are masked within, unless they are seen whole.
        fine = create_mask(blocks.mask_mod, len(part), None, size, size, device="cpu")
        coarse = blocks.to_dense().repeat_interleave(128, 2).repeat_interleave(128, 3)
        assert not (fine & (coarse == 0)).any()
        real = (part >= 0)[:, None, :, None]
        sees = (fine & (coarse > 0))[:, :, :tokens, :tokens]
        assert torch.equal(sees & real, (dense == 0) & real)
        # Where nothing at all was seen, a softmax would be of no numbers.
        assert fine.any(3).all()


@pytest.mark.slow
def test_a_kernel_is_compiled_once_for_each_length(monkeypatch):
    """Whatever pairs the rows are of; traced as for a GPU, and run by torch's operations."""
    run_eagerly(monkeypatch)
    counter = CompileCounterWithBackend("aot_eager")
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counter))
    compiled = attention._compiled.__wrapped__()
    generator = np.random.default_rng(0)
    lengths = set()
    for _ in range(4):
        part, row = rows_of_pairs(generator, is_packed=True)
        blocks = attention.by_block(part, row, 2)
        lengths.add(blocks.shape[-1])
        query, key, value = torch.randn(3, len(part), 2, blocks.shape[-1], 16, requires_grad=True)
        tokens = part.shape[1]
        mask = attention.dense(part, row, 2, torch.float32)
        of_kernel = compiled(query, key, value, block_mask=blocks)[:, :, :tokens]
        own = (each[:, :, :tokens] for each in (query, key, value))
        of_mask = torch.nn.functional.scaled_dot_product_attention(*own, attn_mask=mask)
        real = (part >= 0)[:, None, :, None]
        given = [
            torch.autograd.grad((each * real).square().sum(), (query, key, value))
            for each in (of_kernel, of_mask)
        ]
        torch.testing.assert_close(of_kernel * real, of_mask * real, rtol=0, atol=1e-5)
        torch.testing.assert_close(given[0], given[1], rtol=0, atol=1e-4)
    assert counter.frame_count == len(lengths) < 4


def rows_of_pairs(generator, *, is_packed):
    """Return the parts and the rows of the tokens of twelve pairs, ``[rows, tokens]`` each."""
    pairs = [np.repeat([0, 1, 2], generator.integers(10, 67, 3)) for _ in range(12)]
    laid = np.array_split(np.arange(12), 3) if is_packed else [[pair] for pair in range(12)]
    parts = [torch.from_numpy(np.concatenate([pairs[pair] for pair in row])) for row in laid]
    numbers = [
        torch.from_numpy(np.concatenate([np.full(len(pairs[pair]), pair) for pair in row]))
        for row in laid
    ]
    return (
        torch.nn.utils.rnn.pad_sequence(each, batch_first=True, padding_value=-1)
        for each in (parts, numbers)
    )
