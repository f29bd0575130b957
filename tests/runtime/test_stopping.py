"""What is told to stop does so, whatever it is doing: a stage in one line, and Snakemake."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.shared.processes import children
from tests.shared.warm_process import Warm
from tests.shared.workflows import ROOT, SNAKEMAKE

pytestmark = pytest.mark.slow
LINE = "error: stopped as told (SIGTERM); run again\n"


def test_a_stage_told_to_stop_before_it_begins_ends_in_one_line(warm_process: Warm, tmp_path: Path):
    # A pipe that nobody writes to: the stage is still reading its arguments.
    os.mkfifo(tmp_path / "arguments")
    process = warm_process.stage("predict", f"@{tmp_path}/arguments")
    writer = os.open(tmp_path / "arguments", os.O_WRONLY)
    (stage,) = children(warm_process.pid)
    os.kill(stage, signal.SIGTERM)
    assert process.communicate(timeout=60)[1] == LINE
    assert process.returncode == 1
    os.close(writer)


def test_a_stage_told_to_stop_twice_ends_at_once():
    # The second signal comes while the first one's line is made.
    twice = (
        "import os, signal, sys\n"
        "from workflow_scripts.__main__ import run_stage\n"
        "from workflow_scripts.runtime import failures, gpus\n"
        "def told(*_): os.kill(os.getpid(), signal.SIGTERM)\n"
        "gpus.take = failures.line_of = told\n"
        "run_stage(['predict'])\n"
    )
    command = [sys.executable, "-c", twice]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (-signal.SIGTERM, "")


def test_snakemake_obeys_while_it_chooses_the_next_jobs():
    """Its handler waits for the lock that it then holds; left as it is, for ever."""
    chooses = (
        "import os, signal, threading\n"
        "from snakemake.scheduling.job_scheduler import JobScheduler\n"
        "from workflow_scripts.runtime import stopping\n"
        "stopping.in_a_thread(JobScheduler)\n"
        "scheduler = JobScheduler.__new__(JobScheduler)\n"
        "scheduler._lock, scheduler._open_jobs = threading.Lock(), threading.Semaphore(0)\n"
        "signal.signal(signal.SIGTERM, scheduler.exit_gracefully)\n"
        "with scheduler._lock:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "scheduler._open_jobs.acquire()\n"
        "print(scheduler._user_kill)\n"
    )
    command = [sys.executable, "-c", chooses]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.stdout == "graceful\n", ran.stderr


@pytest.mark.parametrize(("left", "status"), [(False, 0), (True, 1)], ids=["nothing", "a job"])
def test_snakemake_fails_for_being_told_to_stop_only_where_something_is_left(
    left: bool, status: int, tmp_path: Path
):
    (tmp_path / "Snakefile").write_text(
        "from snakemake.scheduling.job_scheduler import JobScheduler\n"
        "from workflow_scripts.runtime import stopping\n"
        "stopping.in_a_thread(JobScheduler)\n"
        "rule first:\n    output: 'first'\n"
        "    shell: \"trap '' TERM; touch begun; sleep 2; touch first\"\n"
        "rule second:\n    input: 'first'\n    output: 'second'\n    shell: 'touch second'\n"
    )
    command = [str(SNAKEMAKE), "--cores", "1", "--workflow-profile", "none"]
    command += ["--", "second" if left else "first"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
    while not (tmp_path / "begun").exists():
        assert process.poll() is None, process.stderr
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == status, said
    assert (tmp_path / "first").exists()
    assert not (tmp_path / "second").exists()
