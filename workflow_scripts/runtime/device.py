"""What the machine computes with, and how."""

import os

import torch


def has_bfloat16() -> bool:
    """Return whether there is a GPU that computes in bfloat16."""
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()


def prepare() -> None:
    """Have a GPU add up in one order, so that an interrupted training ends in the same bytes.

    Attention's backward pass and cuBLAS else choose theirs anew in every run. What has no such
    form says so in a warning.
    """
    if not torch.cuda.is_available():
        # The Trainer imports DeepSpeed, which else warns of every machine without a GPU.
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Else every new tensor is filled, which guards against reading before writing alone.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore
