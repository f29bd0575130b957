"""Which variables of the user's environment no stage sees, since they would change its result.

What a stage computes is said by its arguments alone. Its libraries also obey variables that a
notebook, another launcher or a shell's start-up file has set, so these are cleared before any
library is imported. Variables of places, caches, credentials, networks and memory stay.
"""

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from fnmatch import fnmatchcase
from io import TextIOWrapper
from typing import Any, cast

CHANGES_NO_RESULT = "keeps results the same, whatever the environment is"

CLEARED = {
    "ACCELERATE_*": "Accelerate: precision, compilation, DeepSpeed, clipping",
    "FSDP_*": "Accelerate: FSDP",
    "PARALLELISM_CONFIG_*": "Accelerate: parallelism",
    "MEGATRON_LM_*": "Accelerate: Megatron-LM",
    "DS_ACCELERATOR": "DeepSpeed: the device",
    "DS_DC_*": "DeepSpeed: offloading by its compiler",
    "TORCH_*": "torch: TF32, which BLAS, compilation",
    "TORCHDYNAMO_*": "torch: compilation",
    "TORCHINDUCTOR_*": "torch: compilation",
    "TORCHELASTIC_*": "torch's launcher",
    "PYTORCH_*": "torch: fallbacks, tuned kernels",
    "ATEN_*": "torch: which instructions of the CPU",
    "XLA_*": "torch on TPUs: precision",
    "USE_T*": "transformers: without torch, or on TPUs",
    "TRANSFORMERS_SDPA_*": "transformers: attention",
    "TRANSFORMERS_DISABLE_*": "transformers: kernels",
    "USE_HUB_KERNELS": "transformers: kernels from the hub",
    "FLASH_ATTENTION_*": "attention: order of sums",
    "NVIDIA_TF32_OVERRIDE": "CUDA: precision",
    "CUBLAS*": "CUDA: order of sums",
    "CUDNN_*": "CUDA: which algorithm",
    "DNNL_*": "oneDNN: precision, instructions",
    "ONEDNN_*": "oneDNN: precision, instructions",
    "MKL_*": "MKL: precision, instructions, order of sums",
    "OPENBLAS_*": "OpenBLAS: instructions",
    "NPY_*": "numpy: instructions",
    "OMP_*": "OpenMP: order of sums",
    "GOMP_*": "OpenMP: order of sums",
    "KMP_*": "OpenMP: order of sums",
    "PMI_*": "MPI: ranks",
    "OMPI_COMM_WORLD_*": "MPI: ranks",
    "MV2_COMM_WORLD_*": "MPI: ranks",
    "MPLBACKEND": "matplotlib: a notebook's backend",
    "MATPLOTLIBRC": "matplotlib: its settings",
}
"""Patterns of variables that are cleared, and what they change."""
KEPT = (
    *("TORCH_HOME", "TORCH_EXTENSIONS_DIR", "TORCH_CUDA_ARCH_LIST", "TORCHINDUCTOR_CACHE_DIR"),
    *("TORCH_NCCL_*", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
)
"""Patterns of what stays, though `CLEARED` has it: places, networks, memory, threads."""
LAUNCHER = (
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "NODE_RANK"),
    *("WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
)
"""What a launcher of several ranks sets; cleared where it does not name one of so many ranks."""


def clear(*, may_be_launched: bool = True) -> None:
    """Clear the variables; call it before anything is imported that reads them.

    Args:
        may_be_launched: whether this process may be one of several ranks.
    """
    for name in list(os.environ):
        if _matches(name, CLEARED) and not _matches(name, KEPT):
            del os.environ[name]
    if not (may_be_launched and _is_launched()):
        for name in LAUNCHER:
            os.environ.pop(name, None)
    # Otherwise matplotlib reads the settings in the user's home.
    os.environ["MATPLOTLIBRC"] = os.devnull
    # With this package, where the user has it, transformers runs code that it fetches from the hub
    # when a model's configuration says so; no variable forbids that. None counts as not installed.
    sys.modules["kernels"] = cast(Any, None)


def print_as_can_be() -> None:
    """Have what the encoding of standard output and error lacks printed as a question mark."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A job that a warm process has forked may have a pipe in the place of a file.
            with suppress(OSError):
                stream.reconfigure(errors="replace")


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _is_launched() -> bool:
    """Return whether this process is one of the ranks that a launcher started."""
    try:
        return 0 <= int(os.environ["RANK"]) < int(os.environ["WORLD_SIZE"])
    except (KeyError, ValueError):
        return False
