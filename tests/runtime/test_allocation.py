"""What a training on a CPU does with memory that it frees."""

import subprocess
import sys

import pytest

from tests.shared.workflows import ROOT

STEPS = """
import resource
from workflow_scripts.runtime.allocation import keep_freed_memory
keeps = keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def step():
    return bytearray(b"x") * (24 << 20)
step()
before = faults()
for _ in range(10):
    step()
print(keeps, faults() - before)
"""


def test_a_step_takes_the_pages_that_the_one_before_it_freed():
    """Each step of 24 MiB would be given 6,144 cleared pages of the kernel's otherwise."""
    done = subprocess.run(
        [sys.executable, "-c", STEPS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    keeps, faults = done.stdout.split()
    if keeps == "False":
        pytest.skip("this C library has no such setting")
    assert int(faults) < 1000
