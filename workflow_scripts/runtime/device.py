"""What the machine computes with, and how."""

import os

import torch

from workflow_scripts.runtime import ranks
from workflow_scripts.runtime.allocation import keep_freed_memory


def has_bfloat16() -> bool:
    """Return whether there is a GPU that computes in bfloat16."""
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()


def packs_rows() -> bool:
    """Return whether texts are packed into rows of one length.

    A GPU would rather have one large product, and ranks share rows out by their tokens.
    """
    return torch.cuda.is_available() or ranks.count() > 1


def keeps_rows_apart() -> bool:
    """Return whether attention has each row by itself: on a CPU, where a call costs little."""
    return not torch.cuda.is_available()


def prepare() -> None:
    """Make a GPU add in a fixed order, so that an interrupted training ends in the same bytes.

    On a CPU every order is fixed already; there memory is kept from one step to the next.

    By default attention's backward pass and cuBLAS may choose another order in every run. An
    operation without a deterministic form is an error: if it only warned, torch would leave
    attention's backward pass in no fixed order, too (pytorch, attention_backward.cu).
    """
    if not torch.cuda.is_available():
        # The Trainer imports DeepSpeed, which would warn about a machine without a GPU.
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
        keep_freed_memory()
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Filling new tensors only guards against reading them before writing, and takes time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore
