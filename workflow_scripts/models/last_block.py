"""Run the last block's feed-forward layer for those tokens alone whose outputs are read.

Attention has mixed the tokens by then, and that layer, which is most of a block, takes each one by
itself. A reward is read at one token of a text, log-probabilities at those before its response's.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from workflow_scripts.models.attention import GIVEN_MASKS

KEY = "read_at"
"""What a model is called with: places of the flattened batch that are read, int64 ``[read]``."""
_PARTS = {
    "gpt2": ("attn", "mlp", "mlp"),
    "gpt_neox": ("attention", "mlp", "mlp"),
    "opt": ("self_attn", "fc1", "fc2"),
}
"""What a family calls a block's attention, and what its feed-forward layer begins and ends with."""
_USUAL = ("self_attn", "mlp", "mlp")
_NOTE = "runs_where_read"


def prepare(model: PreTrainedModel) -> bool:
    """Have the last block of ``model`` go by ``KEY``, and return whether it does."""
    family = model.config.model_type
    if family not in GIVEN_MASKS:
        return False
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    block = next(each[-1] for each in lists if len(each) == model.config.num_hidden_layers)
    # Noted on the block, as a copy of a model has its hooks, too.
    if not getattr(block, _NOTE, False):
        _Read(*map(block.get_submodule, _PARTS.get(family, _USUAL)))
        setattr(block, _NOTE, True)
    return True


class _Read:
    """Which tokens' outputs are read, set each time that the block runs.

    Where activations are computed again for the backward pass, a block's own hooks are left out and
    those of its layers are not, so the hooks are on the layers.
    """

    def __init__(self, attention: nn.Module, first: nn.Module, last: nn.Module) -> None:
        """Attention is told what is read, ``first`` then takes only that, ``last`` puts it back."""
        self._read: Tensor | None = None
        self._shape = torch.Size()
        attention.register_forward_pre_hook(self._begin, with_kwargs=True)
        first.register_forward_pre_hook(self._take)
        last.register_forward_hook(self._put)

    def _begin(self, _attention: nn.Module, _args: Any, given: dict[str, Any]) -> None:
        read = given.get(KEY)
        self._read = None if read is None else read.sort().values

    def _take(self, _layer: nn.Module, given: tuple[Tensor]) -> tuple[Tensor] | None:
        if self._read is None:
            return None
        self._shape = given[0].shape
        return (given[0].flatten(0, -2)[self._read],)

    def _put(self, _layer: nn.Module, _given: Any, outputs: Tensor) -> Tensor | None:
        """Return the outputs among zeros, each at its own place."""
        if self._read is None:
            return None
        # A prompt's last token is read for each of its responses, and counts once.
        again = functional.pad(self._read[1:] == self._read[:-1], (1, 0))
        among = outputs.new_zeros(self._shape[:-1].numel(), outputs.shape[-1])
        among = among.index_add(0, self._read, outputs.masked_fill(again[:, None], 0))
        return among.view(*self._shape[:-1], -1)
