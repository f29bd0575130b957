"""What torch is asked to do, counted as it happens: on any machine, without a clock."""

from collections import Counter
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

WAITS = frozenset(
    {
        *("item", "tolist", "cpu", "numpy", "nonzero", "masked_select"),
        *("__bool__", "__int__", "__float__", "__index__", "__array__"),
    }
)
"""What of a tensor cannot be had before a GPU has computed it."""


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


class Waits(TorchFunctionMode):
    """Counts where a host would wait for a GPU, also where there is none.

    Attributes:
        count: how often, by what was asked for.
        copies: how many tensors were copied to a device without waiting.
    """

    def __init__(self) -> None:
        """Begin with no counts."""
        super().__init__()
        self.count: Counter[str] = Counter()
        self.copies = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count a wait or a copy, and go on."""
        given = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in WAITS:
            self.count[name] += 1
        self.copies += name == "to" and given.get("non_blocking", False)
        return func(*args, **given)
