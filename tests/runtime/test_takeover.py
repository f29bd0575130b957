"""After a kill or a power loss the same command runs again, if no other run works there."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.shared.workflows import NOTHING, ROOT, command, snakemake
from workflow_scripts.runtime import takeover

BEGIN = (
    "from workflow_scripts.runtime import takeover; print(takeover.enter(), flush=True); input()"
)
BESIDE = """
import json, sys
from snakemake.persistence.file import FilePersistence
from workflow_scripts.runtime import takeover

takeover.unlock_own_alone(FilePersistence)
takeover.enter()
persistence = FilePersistence()
persistence._write_locks("output", ["results/report/cells.csv"])
print(json.dumps(takeover.begin(only_reads=sys.argv[1:] == ["reads"])))
persistence.unlock()
"""
JOB = "from workflow_scripts.runtime import takeover; takeover.join(); print('joined'); input()"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(takeover.VARIABLE, raising=False)
    return tmp_path


@contextmanager
def process(code: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start a process that says something and then works until it is killed."""
    started = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with started:
        assert started.stdout is not None
        assert started.stdout.readline()
        try:
            yield started
        finally:
            started.kill()


def lock() -> None:
    """Lock the folder as Snakemake does."""
    takeover.LOCKS.mkdir(parents=True, exist_ok=True)
    (takeover.LOCKS / "0.output.lock").write_text("results/report/index.html\n")


def mark() -> Path:
    (only,) = takeover.RUNS.glob("*.json")
    return only


def changed(**said: object) -> None:
    """Change what the one mark says."""
    mark().write_text(json.dumps(json.loads(mark().read_text()) | said))


def enter() -> str | None:
    """Enter the folder in a process of its own, and return what was taken over."""
    ended = subprocess.run(
        [sys.executable, "-c", BEGIN],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input="\n",
        capture_output=True,
        text=True,
        check=True,
    )
    said = ended.stdout.strip()
    return None if said == "None" else said


def test_what_a_killed_run_has_locked_is_taken_over_and_said():
    with process(BEGIN):
        lock()
    assert list(takeover.LOCKS.iterdir())
    taken = enter()
    assert taken is not None
    assert len(taken.splitlines()) == 1
    assert not takeover.LOCKS.exists()
    assert not list(takeover.RUNS.glob("*.json"))
    assert enter() is None


def test_so_is_what_a_run_before_the_machine_started_anew_has_locked():
    with process(BEGIN):
        lock()
    changed(boot="another")
    assert enter() is not None
    assert not takeover.LOCKS.exists()


def test_a_run_that_works_is_left_alone():
    with process(BEGIN) as other:
        lock()
        assert enter() is None
        assert list(takeover.LOCKS.iterdir())
        assert f"process {other.pid} on" in takeover.refusal()
        assert takeover.refusal().endswith("; wait for its end")


def beside(*arguments: str, **environment: str) -> list[str]:
    """Begin another run beside those that work here, and return what it says."""
    return subprocess.run(
        [sys.executable, "-c", BESIDE, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()


def test_beside_a_run_others_may_read_alone_and_its_locks_stay():
    with process(BEGIN) as run:
        lock()
        assert beside("reads") == ["null"]
        (refused,) = beside()
        assert f"process {run.pid} on" in refused
        # As what `adopt` starts, which is of the same run.
        assert beside(**{takeover.VARIABLE: str(mark().absolute())}) == ["null"]
        assert [lock.name for lock in takeover.LOCKS.iterdir()] == ["0.output.lock"]
        changed(host="elsewhere", boot="another")
        (refused,) = beside()
        assert "on elsewhere since" in refused


@pytest.mark.parametrize("heeds", [True, False])
def test_a_job_is_told_to_end_with_its_run_and_waited_for(heeds: bool):
    """As a training that writes its state first."""
    busy = "" if heeds else "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    with process(BEGIN) as run:
        lock()
        with process(busy + JOB, **{takeover.VARIABLE: str(mark().absolute())}) as job:
            run.kill()
            run.wait()
            if heeds:
                assert job.wait(timeout=60) == -signal.SIGTERM
            else:
                assert enter() is None
                assert "wait for its end" in takeover.refusal()
    assert enter() is not None


def test_a_job_on_another_machine_does_not_take_its_run_for_killed(folder: Path):
    with process(BEGIN) as run:
        changed(boot="another")
        with process(JOB, **{takeover.VARIABLE: str(mark().absolute())}) as job:
            run.kill()
            run.wait()
            with pytest.raises(subprocess.TimeoutExpired):
                job.wait(timeout=0.5)


FOREIGN: dict[str, tuple[Callable[[], object], str]] = {
    "another machine's": (
        lambda: changed(host="elsewhere", boot="another"),
        "on elsewhere since",
    ),
    "an empty mark": (lambda: mark().write_text(""), "on unknown"),
    "an older version's": (lambda: mark().unlink(), "a run that nothing is known of"),
}


@pytest.mark.parametrize("whose", FOREIGN)
def test_of_what_nobody_here_can_tell_one_line_says_what_to_type(whose: str):
    change, named = FOREIGN[whose]
    with process(BEGIN):
        lock()
    change()
    assert enter() is None
    assert list(takeover.LOCKS.iterdir())
    line = takeover.refusal()
    assert named in line
    assert line.endswith(f"type {takeover.UNLOCK}")
    takeover.forget_others()
    assert not list(takeover.RUNS.glob("*.json"))


def test_a_file_system_without_locks_takes_nothing_over(monkeypatch: pytest.MonkeyPatch):
    with process(BEGIN):
        lock()

    def no_locks(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert takeover.enter() is None
    assert list(takeover.LOCKS.iterdir())
    assert takeover.VARIABLE not in os.environ


WORLD = "results/worlds/substances/corpus.parquet"
DEMO = ("--profile", "profiles/demo", "--config", "execution={warm_start: false}")


@pytest.mark.slow
def test_after_kill_9_of_snakemake_the_same_command_runs_to_the_end(folder: Path):
    typed = (*DEMO, "--", WORLD)
    running = subprocess.Popen(
        command(folder, *typed), cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True
    )
    with running:
        wait_until(lambda: list(takeover.LOCKS.glob("*.lock")))
        os.killpg(running.pid, signal.SIGSTOP)
        assert snakemake(folder, *DEMO, "--", "plan").returncode == 0
        refused = [snakemake(folder, *typed), snakemake(folder, *DEMO, "--", "verify")]
        os.killpg(running.pid, signal.SIGKILL)
    for ran in refused:
        assert ran.returncode == 1
        (error,) = (line for line in ran.stderr.splitlines() if line.startswith("error: "))
        assert error.endswith("; wait for its end")
        assert "--unlock" not in ran.stderr
    again = snakemake(folder, *typed)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("this one takes over") == 1
    assert (folder / WORLD).is_file()
    with process(BEGIN):
        lock()
    changed(host="elsewhere", boot="another")
    idle = snakemake(folder, *typed)
    assert NOTHING in idle.stderr
    assert [file.name for file in takeover.LOCKS.iterdir()] == ["0.output.lock"], (
        "a run with nothing to do leaves the locks of another machine"
    )


def jobs_of(run: str) -> list[psutil.Process]:
    """Return the processes that were started by the runs in a folder."""
    found = []
    for one in psutil.process_iter():
        with suppress(psutil.Error):
            if one.environ().get(takeover.VARIABLE, "").startswith(run):
                found.append(one)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_snakemake_that_is_stopped_leaves_no_process(number: signal.Signals, folder: Path):
    typed = command(folder, *DEMO, "--", WORLD)
    running = subprocess.Popen(typed, cwd=ROOT, stderr=subprocess.DEVNULL)
    with running:
        wait_until(lambda: jobs_of(str(folder)))
        running.send_signal(number)
    wait_until(lambda: not jobs_of(str(folder)))


def wait_until(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
