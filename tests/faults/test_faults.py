"""Nothing is lost and nothing half true: every fault ends in the same bytes, or in one line first.

``docs/reliability.md`` lists what is tried here; this module holds it current.
"""

import os
import time
from pathlib import Path
from random import Random

import pytest

from tests.faults.faults import FAULTS, Fault, Work, finished, settled
from tests.shared.base_models import FAMILIES, save_base
from tests.shared.disks import can_mount
from tests.shared.trainings import write_pairs
from tests.shared.warm_process import Warm
from tests.shared.workflows import ROOT

PAGE = ROOT / "docs/reliability.md"
SAME = ("checkpoint/model.safetensors", "checkpoint/config.json", "predictions.parquet")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("models") / "base", FAMILIES["gpt2"])


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("data") / "gt.parquet", 34)


@pytest.fixture(scope="module")
def unbroken(
    base: Path, pairs: Path, warm_process: Warm, tmp_path_factory: pytest.TempPathFactory
) -> Work:
    """Return a training and its readout that nothing has befallen."""
    work = Work(tmp_path_factory.mktemp("unbroken"), base, pairs, warm_process, 0.0)
    settled(work)
    began = time.monotonic()
    again = work._replace(folder=tmp_path_factory.mktemp("again"))
    finished(again.train())
    return work._replace(seconds=time.monotonic() - began)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_after_every_fault_the_same_commands_end_in_the_same_bytes(
    fault: Fault, unbroken: Work, tmp_path: Path
):
    if "disk" in fault.name or "folder" in fault.name:
        mounts_or_skip()
    for number in range(fault.tries):
        work = unbroken._replace(folder=tmp_path / str(number))
        work.folder.mkdir()
        random = Random(f"{fault.name} {number}")
        with fault.bring(work, number, random) as printed:
            printed += settled(work)
            assert contents(work) == contents(unbroken), f"{fault.name}, try {number}"
        for output in printed:
            assert "Traceback" not in output
            assert sum(line.startswith("error: ") for line in output.splitlines()) <= 1


def contents(work: Work) -> dict[str, bytes]:
    """Return the files that are the same whenever and however often they are made."""
    return {name: (work.folder / "run" / name).read_bytes() for name in SAME}


def mounts_or_skip() -> None:
    if not can_mount():
        pytest.skip("makes a small disk, which takes root")


def test_the_page_lists_what_is_tried():
    """Every try that is listed is one that the tests above see survived."""
    rows = [f"| {fault.name} | {fault.tries} | {fault.tries} |" for fault in FAULTS]
    table = "\n".join(["| fault | tried | survived |", "|---|---|---|", *rows])
    if os.environ.get("W2S_WRITE_DOCS"):
        before, _, after = PAGE.read_text().partition("| fault |")
        rest = after[after.index("\n\n") :] if "\n\n" in after else "\n"
        PAGE.write_text(before + table + rest)
    assert table in PAGE.read_text()
