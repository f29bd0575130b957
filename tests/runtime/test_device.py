"""How a GPU is set up: as far as that shows on a machine without one."""

import subprocess
import sys

from tests.shared.workflows import ROOT

PREPARE = """
import torch
torch.cuda.is_available = lambda: True
from workflow_scripts.runtime import device
device.prepare()
print(torch.get_deterministic_debug_mode(), __import__("os").environ["CUBLAS_WORKSPACE_CONFIG"])
"""


def test_what_has_no_fixed_order_on_a_gpu_is_an_error_and_no_warning():
    """Where it is a warning, attention's backward pass stays without one, too."""
    done = subprocess.run(
        [sys.executable, "-c", PREPARE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", ":4096:8"]
