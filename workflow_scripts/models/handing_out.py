"""One rank reads a model from the disk, and the others get it from that rank.

Otherwise the host's memory would hold it once for each rank: four times 29 GB of a 7B model. What
the others get is at once where they compute: on a GPU, if they have one.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn
from transformers import PreTrainedModel

from workflow_scripts.core.errors import first_line
from workflow_scripts.runtime import meeting, ranks

CHANGES_NO_RESULT = "how a model reaches the ranks; tests hold what comes out to be the same bytes"

Loaded = tuple[PreTrainedModel, dict[str, Any]]
"""A model, and what its ``from_pretrained`` says of the weights that it found."""


class _Piece(NamedTuple):
    """A tensor of a model, and where it is: at several places where weights are tied."""

    names: list[str]
    shape: torch.Size
    dtype: torch.dtype
    is_weight: bool


class _Model(NamedTuple):
    """What the first rank says of the model that it has read."""

    pieces: list[_Piece]
    missing: set[str]
    generator: Tensor


def read_by_one(read: Callable[[], Loaded], build: Callable[[], PreTrainedModel]) -> Loaded:
    """Return a model on all ranks, which only the first reads.

    Random numbers drawn as it is read are drawn once; torch's generator ends alike on all ranks.

    Args:
        read: reads the model.
        build: makes one like it, whose weights may be anything.

    Raises:
        OSError: on all other ranks, if ``read`` raises anything.
    """
    if ranks.count() == 1:
        return read()
    device = meeting.join()
    if not ranks.is_first():
        return _received(build, device)
    try:
        model, report = read()
    except Exception as error:
        _tell(first_line(error))
        raise
    tensors = _tensors(model)
    pieces = [
        _Piece(names, tensor.shape, tensor.dtype, isinstance(tensor, nn.Parameter))
        for names, tensor in tensors
    ]
    _tell(_Model(pieces, set(report["missing_keys"]), torch.get_rng_state()))
    for _, tensor in tensors:
        distributed.broadcast(_bytes(tensor.detach().to(device).contiguous()), 0)
    return model, report


def _received(build: Callable[[], PreTrainedModel], device: torch.device) -> Loaded:
    """Return what the first rank has read, on the device."""
    said = _tell(None)
    if not isinstance(said, _Model):
        raise OSError(said)
    with torch.device("meta"):
        model = build()
    for names, shape, dtype, is_weight in said.pieces:
        tensor = torch.empty(shape, dtype=dtype, device=device)
        distributed.broadcast(_bytes(tensor), 0)
        if is_weight:
            tensor = nn.Parameter(tensor)
        for name in names:
            owner, _, own_name = name.rpartition(".")
            setattr(model.get_submodule(owner), own_name, tensor)
    torch.set_rng_state(said.generator)
    return model.eval(), {"missing_keys": said.missing}


def _tensors(model: PreTrainedModel) -> list[tuple[list[str], Tensor]]:
    """Return all weights and buffers, those in no state dict too, each with all of its names."""

    def named() -> Iterator[tuple[str, Tensor]]:
        yield from model.named_parameters(remove_duplicate=False)
        yield from model.named_buffers(remove_duplicate=False)

    found: dict[int, tuple[list[str], Tensor]] = {}
    for name, tensor in named():
        found.setdefault(id(tensor), ([], tensor))[0].append(name)
    return list(found.values())


def _bytes(tensor: Tensor) -> Tensor:
    """Return a view of a tensor as bytes, which every backend can send."""
    return tensor.reshape(-1).view(torch.uint8)


def _tell(said: Any) -> Any:
    """Tell the other ranks something; on these, return what the first one said."""
    told = [said]
    distributed.broadcast_object_list(told, 0)
    return told[0]
