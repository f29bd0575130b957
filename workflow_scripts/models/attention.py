"""Which tokens attend to which: by a mask of all pairs of tokens, block by block or row by row.

With the dense mask attention computes every product of a row, those between texts that do not see
each other too. torch's FlexAttention skips blocks of them. Its backward pass on a GPU adds in a
fixed order, which docs/cluster.md gives the sources of; so does its eager form, for tests on a CPU.
On a CPU, where a call costs little, attention has every row by itself, as long as it is, while all
else of the model has the tokens of all rows at once, without padding.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

Attends = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Whether, in a row of the batch and for any head, the query at a place attends to a key at one."""

GIVEN_MASKS = frozenset({"gpt2", "gpt_neox", "llama", "mistral", "opt", "qwen2"})
"""Families whose tokens meet in attention alone, by the mask and the positions that are given.

In others, say those with recurrent layers, a text would see the one before it in its row. Nor does
attention of these have what a mask cannot tell: caps, sinks, biases, windows of some layers.
"""
_NAME = "pairs"
_BLOCK = 128
LENGTH = 512
"""Lengths are rounded up to a multiple, in attention alone: each one is compiled for itself."""
_LEAST_WIDTH = 16
"""Of a head: what the GPU's matrix product takes (torch, kernel/flex/flex_attention.py)."""
_MOST_KERNELS = 128


class Apart(NamedTuple):
    """Rows of which attention has each by itself; those of one length come one behind the other.

    Attributes:
        rows: how many there are of each length.
        tokens: these lengths.
        masks: for the rows of each length ``[rows, 1, tokens, tokens]``; None where a token attends
            to all that come before it.
    """

    rows: list[int]
    tokens: list[int]
    masks: list[Tensor | None]


def takes_our_masks(model: PreTrainedModel) -> bool:
    """Return whether attention of ``model`` may be this module's."""
    config = model.config
    return config.model_type in GIVEN_MASKS and config._attn_implementation in {"sdpa", _NAME}


def can_skip_blocks(model: PreTrainedModel) -> bool:
    """Return whether the rows of ``model`` may have their mask block by block.

    Otherwise they have the dense one or, where no mask can be given, the model's own attention.
    """
    config = model.config
    return takes_our_masks(model) and has_kernel(
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )


def has_kernel(width: int) -> bool:
    """Return whether there is a kernel for heads of a width: on a GPU, with a backward pass."""
    return torch.cuda.is_available() and width >= _LEAST_WIDTH


def prepare(model: PreTrainedModel) -> None:
    """Have ``model`` take what ``by_block`` and ``apart`` return, besides the masks it takes."""
    AttentionInterface.register(_NAME, _attend)
    AttentionMaskInterface.register(_NAME, sdpa_mask)
    model.set_attn_implementation(_NAME)


def attends(part: Tensor, row: Tensor | None, members: int) -> Attends:
    """Return what a token attends to: those before it of its own sequence, with their prompt.

    Padding attends to itself alone.

    Args:
        part: as in ``Rows``, ``[rows, tokens]``.
        row: which row each token is of, where several are packed into one, ``[rows, tokens]``.
        members: sequences of a row.
    """
    alone = -1 - torch.arange(part.shape[1], device=part.device)
    prompt = torch.zeros_like(part) if row is None else row * (members + 1)
    own = torch.where(part < 0, alone, prompt + part)
    prompt = torch.where(part < 0, alone, prompt)

    def attends(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        of_key = own[batch, key]
        is_seen = (of_key == own[batch, query]) | (of_key == prompt[batch, query])
        return (query >= key) & is_seen

    return attends


def dense(part: Tensor, row: Tensor | None, members: int, dtype: torch.dtype) -> Tensor:
    """Return what attention adds to its logits, ``[rows, 1, tokens, tokens]``.

    Args:
        part: as for ``attends``, and so are the next two.
        row: likewise.
        members: likewise.
        dtype: that of the products: another mask would be converted, and kept, in every layer.
    """
    batch = torch.arange(len(part), device=part.device)[:, None, None]
    places = torch.arange(part.shape[1], device=part.device)
    sees = attends(part, row, members)(batch, batch, places[:, None], places)
    mask = torch.zeros(sees.shape, dtype=dtype, device=part.device)
    return mask.masked_fill(~sees, torch.finfo(dtype).min)[:, None]


def by_block(part: Tensor, row: Tensor | None, members: int) -> BlockMask:
    """Return the same mask block by block, for a model that is prepared.

    Args:
        part: as for ``attends``, and so are the next two.
        row: likewise.
        members: likewise.
    """
    longer = (0, -part.shape[1] % LENGTH)
    part = functional.pad(part, longer, value=-1)
    if row is not None:
        row = functional.pad(row, longer, value=-1)
    rows, tokens = part.shape
    mask = create_block_mask(
        attends(part, row, members),
        *(rows, None, tokens, tokens),
        device=part.device,
        BLOCK_SIZE=_BLOCK,
    )
    # GPT-2 in transformers asks for it, as of a tensor.
    mask.ndim = len(mask.shape)  # pyright: ignore[reportAttributeAccessIssue]
    return mask


def apart(part: Tensor, lengths: Tensor, members: int, dtype: torch.dtype) -> Apart:
    """Return the same row by row, for a model that is prepared.

    Args:
        part: as in ``Rows``, padded on the right, ``[rows, tokens]``.
        lengths: tokens of each row, ``[rows]``.
        members: sequences of a row.
        dtype: that of the products.
    """
    of_length, counts = lengths.unique_consecutive(return_counts=True)
    tokens, rows = of_length.tolist(), counts.tolist()
    masks: list[Tensor | None] = [None] * len(rows)
    if members > 1:
        masks = [
            dense(alike[:, :length], None, members, dtype)
            for alike, length in zip(part.split_with_sizes(rows), tokens, strict=True)
        ]
    return Apart(rows, tokens, masks)


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: BlockMask | Tensor | None,
    scaling: float | None = None,
    rows_apart: Apart | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attend as transformers asks for it: return ``[rows, tokens, heads, width]``."""
    if rows_apart is not None:
        of_lengths = zip(
            *(_split(each, rows_apart) for each in (query, key, value)),
            rows_apart.masks,
            strict=True,
        )
        by_length = [
            sdpa_attention_forward(module, *of_length, scaling=scaling, **others)[0].flatten(0, 1)
            for of_length in of_lengths
        ]
        return torch.cat(by_length)[None], None
    if not isinstance(attention_mask, BlockMask):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **others
        )
    tokens = query.shape[2]
    longer = (0, 0, 0, attention_mask.shape[-1] - tokens)
    padded = [functional.pad(each, longer) for each in _of_one_dtype(query, key, value)]
    kernel: Callable[..., Any] = _compiled() if query.is_cuda else flex_attention
    attended: Tensor = kernel(
        *padded,
        block_mask=attention_mask,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
        kernel_options={"BACKEND": "TRITON"} if query.is_cuda else None,
    )
    return attended[:, :, :tokens].transpose(1, 2).contiguous(), None


def _split(heads: Tensor, rows_apart: Apart) -> list[Tensor]:
    """Return what is ``[1, heads, tokens, width]`` by length, ``[rows, heads, tokens, width]``."""
    rows, lengths = rows_apart.rows, rows_apart.tokens
    sizes = [number * length for number, length in zip(rows, lengths, strict=True)]
    by_length = heads[0].transpose(0, 1).split_with_sizes(sizes)
    return [
        alike.unflatten(0, (number, length)).transpose(1, 2)
        for alike, number, length in zip(by_length, rows, lengths, strict=True)
    ]


def _of_one_dtype(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return them in autocast's dtype, where it is on: rotary positions leave some in float32."""
    kind = tensors[0].device.type
    if not torch.is_autocast_enabled(kind):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype(kind)) for tensor in tensors)


@cache
def _compiled() -> Callable[..., Any]:
    """Return the GPU's kernel, compiled so that every process computes the same.

    Without measuring which form is fastest, and for each length by itself: a kernel for all of them
    would depend on the one that came first, which is another after an interruption.
    """
    from torch._dynamo import config as tracing
    from torch._inductor import config as compiler

    compiler.deterministic = True
    # Beyond the limit it is an error, since the eager form would hold all products in memory.
    tracing.recompile_limit = _MOST_KERNELS
    return torch.compile(flex_attention, dynamic=False, fullgraph=True)
