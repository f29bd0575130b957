"""The kernels that attention may have (``models.attention``)."""

from typing import Literal, get_args

CHANGES_NO_RESULT = "a knob of speed"
Kernel = Literal["dense", "flex"]
KERNELS: tuple[Kernel, ...] = get_args(Kernel)
