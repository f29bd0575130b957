"""Nothing is lost and nothing half true: every fault ends in the same bytes, or in one line first.

Each fault is tried a few times; ``W2S_FAULT_TRIES=10`` tries each ten times as often. With
``W2S_WRITE_DOCS=1`` (and ``-n0``) what came out becomes the table of ``docs/reliability.md``.
"""

import os
import re
import time
from pathlib import Path
from random import Random

import pytest

from tests.faults.faults import FAULTS, Fault
from tests.faults.held import HELD
from tests.faults.work import STEPS, Work, contents, finished, settled, write_given
from tests.shared.disks import can_mount
from tests.shared.warm_process import Warm
from tests.shared.workflows import ROOT

PAGE = ROOT / "docs/reliability.md"
TIMES = int(os.environ.get("W2S_FAULT_TRIES", "1"))


@pytest.fixture(scope="module")
def unbroken(warm_process: Warm, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """Return a run that nothing has befallen, with how long each of its steps takes."""
    given, made = (tmp_path_factory.mktemp(name) for name in ("given", "made"))
    # As deep as those of the tries, since a page has links to what it is made of.
    folder = tmp_path_factory.mktemp("again") / "0"
    folder.mkdir()
    write_given(given)
    work = Work(folder, made, folder, given, warm_process, {})
    settled(work._replace(folder=made), tuple(STEPS))
    for step in STEPS:
        began = time.monotonic()
        finished(work.start(step))
        work.seconds[step] = time.monotonic() - began
    return work


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_after_every_fault_the_same_commands_end_in_the_same_bytes(
    fault: Fault, unbroken: Work, tmp_path: Path
):
    if fault.needs_disks and not can_mount():
        pytest.skip("makes a small disk, which takes root")
    tries = fault.tries * TIMES
    failed = {}
    for number in range(tries):
        work = unbroken._replace(folder=tmp_path / str(number))
        work.folder.mkdir()
        if "predict" in fault.steps and "train" in fault.steps:
            work = work._replace(made=work.folder)
        try:
            survive(fault, work, number, unbroken)
        except AssertionError as error:
            failed[number] = str(error)
    if os.environ.get("W2S_WRITE_DOCS"):
        note(fault, tries, tries - len(failed))
    assert not failed


def survive(fault: Fault, work: Work, number: int, unbroken: Work) -> None:
    """Bring a fault about, run the same commands again, and check what comes out."""
    random = Random(f"{fault.name} {number}")
    with fault.bring(work, number, random) as printed:
        printed += settled(work, fault.steps)
        expected = contents(unbroken, fault.steps)
        found = contents(work, fault.steps)
        other = [name for name in found if found[name] != expected[name]]
        assert not other, f"other bytes: {other}"
    for output in printed:
        assert "Traceback" not in output, output[-2000:]
        assert sum(line.startswith("error: ") for line in output.splitlines()) <= 1, output


def row(fault: Fault, tried: object, survived: object) -> str:
    return f"| {fault.name} | {fault.how} | {fault.outcome} | {tried} | {survived} |"


def note(fault: Fault, tried: int, survived: int) -> None:
    """Write into the page what came out."""
    old = re.compile(re.escape(row(fault, "N", "N")).replace("N", r"\d+"))
    new = row(fault, tried, survived)
    text, replaced = old.subn(new, PAGE.read_text())
    PAGE.write_text(
        text
        if replaced
        else text.replace("|---|---|---|---|---|\n", f"|---|---|---|---|---|\n{new}\n")
    )


def test_the_page_lists_every_fault_and_each_was_survived():
    page = PAGE.read_text()
    for fault in FAULTS:
        found = re.search(re.escape(row(fault, "N", "N")).replace("N", r"(\d+)"), page)
        assert found, fault.name
        tried, survived = map(int, found.groups())
        assert tried == survived >= fault.tries
    rows = re.findall(r"^\| [^|]+ \| [^|]+ \| [^|]+ \| \d+ \| \d+ \|$", page, re.MULTILINE)
    assert len(rows) == len(FAULTS)


@pytest.mark.parametrize("held", HELD)
def test_what_other_tests_hold_is_listed_with_them(held: str):
    file, name = HELD[held].split("::")
    assert f"def {name}(" in (ROOT / "tests" / file).read_text()
    assert f"| {held} | `tests/{file}` |" in PAGE.read_text()
