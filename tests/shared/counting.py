"""What torch is asked to do, counted as it happens: on any machine, without a clock."""

from collections import Counter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Operations(TorchDispatchMode):
    """Counts torch's operations, those of backward passes and optimizers too.

    Attributes:
        count: how often each has run, by its name, such as ``aten.mm``.
    """

    def __init__(self) -> None:
        """Begin with no counts."""
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> torch.Tensor:
        """Count an operation and run it."""
        self.count[str(func.overloadpacket)] += 1
        return func(*args, **(kwargs or {}))
