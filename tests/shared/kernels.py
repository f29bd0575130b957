"""Attention's kernels on a CPU."""

import pytest
import torch

from workflow_scripts.models import attention
from workflow_scripts.runtime import device

EACH_KERNEL = ("dense", pytest.param("flex", marks=pytest.mark.slow))
"""The same as parameters of a test: flex takes seconds where no GPU has compiled it."""


def run_eagerly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have flex run on a CPU, in torch's eager form, whose backward pass torch keeps for GPUs.

    It is there, behind a check of the device. Lengths are rounded up by less than for a GPU, since
    this form computes blocks that see nothing, too. Several threads would only wait for each other.
    """
    torch.set_num_threads(1)
    # torch takes a number that differed between tests for one that it has to ask for.
    torch._dynamo.reset()
    monkeypatch.setattr(attention, "has_kernel", lambda _: True)
    monkeypatch.setattr(attention, "LENGTH", 128)
    monkeypatch.setattr("torch.nn.attention.flex_attention._validate_device", lambda *_: None)


def lay_rows_as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have texts packed into rows, and masked in these, as on a GPU."""
    monkeypatch.setattr(device, "packs_rows", lambda: True)
    monkeypatch.setattr(device, "keeps_rows_apart", lambda: False)
