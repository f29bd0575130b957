"""The warm process is in no one's way: while it imports, where it cannot, when its caller ends."""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.shared.processes import children
from tests.shared.warm_process import Warm
from tests.shared.workflows import ROOT
from workflow_scripts import warm

CALLER = """
import os, time
from workflow_scripts import warm
warm.start()
print(os.environ[warm.SOCKET_VARIABLE], flush=True)
time.sleep(600)
"""
SPINS = "import re; re.match('(a+)+b', 'a' * 100)"
"""Hangs in C, where no other thread of the process gets a turn."""


class Caller:
    """A process that has started a warm one, as Snakemake does.

    Attributes:
        socket: where the warm process is to listen.
        warm: its id.
    """

    def __init__(self, folder: Path, imports: str) -> None:
        """Start it; ``imports`` is what the warm process imports first."""
        (folder / "deepspeed.py").write_text(f"open(__file__ + '.begun', 'w').close(); {imports}")
        environment = os.environ | {"PYTHONPATH": f"{folder}:{ROOT}", "TMPDIR": str(folder)}
        self._process = subprocess.Popen(
            [sys.executable, "-c", CALLER],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.socket = Path(self._process.stdout.readline().strip())
        (self.warm,) = children(self._process.pid)

    def end(self, number: signal.Signals) -> str:
        """Send the caller a signal, and return what it and the warm process have printed."""
        self._process.send_signal(number)
        return self._process.communicate(timeout=60)[1]


def wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def runs(pid: int) -> bool:
    """Return whether there is a process of this id that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("imports", [SPINS, "import time; time.sleep(600)"])
def test_it_ends_with_its_caller_while_it_imports(
    imports: str, number: signal.Signals, tmp_path: Path
):
    caller = Caller(tmp_path, imports)
    # It has begun to import.
    wait(lambda: (tmp_path / "deepspeed.py.begun").exists())
    assert runs(caller.warm)
    assert not caller.socket.exists()
    caller.end(number)
    wait(lambda: not runs(caller.warm))


def test_a_job_waits_for_no_imports_that_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    caller = Caller(tmp_path, SPINS)
    began = time.time() - warm.PATIENCE
    os.utime(caller.socket.parent, (began, began))
    monkeypatch.setenv(warm.SOCKET_VARIABLE, str(caller.socket))
    assert warm.run_there(["predict"]) is None
    caller.end(signal.SIGTERM)


def test_imports_that_hang_end(tmp_path: Path):
    hurried = f"import {warm.__name__} as warm; warm.PATIENCE = 0.5; warm.serve('{tmp_path}/x/s')"
    (tmp_path / "deepspeed.py").write_text(SPINS)
    process = subprocess.Popen(
        [sys.executable, "-c", hurried],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        stdin=subprocess.PIPE,
    )
    assert process.wait(60) == -signal.SIGALRM


def test_a_job_waits_for_no_imports_that_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    caller = Caller(tmp_path, "raise ImportError('libtorch_cpu.so: failed to map segment')")
    monkeypatch.setenv(warm.SOCKET_VARIABLE, str(caller.socket))
    # Whenever it asks: before the imports have failed, and after.
    assert [warm.run_there(["predict"]) for _ in range(2)] == [None, None]
    wait(lambda: not runs(caller.warm))
    assert not caller.socket.parent.exists()
    (line,) = caller.end(signal.SIGTERM).splitlines()
    assert line == (
        "No warm start (libtorch_cpu.so: failed to map segment): jobs import for themselves."
    )


def test_a_job_whose_process_is_killed_before_it_begins_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv(warm.SOCKET_VARIABLE, str(tmp_path / "socket"))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        # Closed with the request unread, which resets the connection.
        closing = threading.Thread(target=lambda: listener.accept()[0].close())
        closing.start()
        assert warm.run_there(["predict"]) == 137
        closing.join()
    assert capsys.readouterr().err == "error: the job's process was killed (out of memory?)\n"


def test_where_there_is_no_room_for_its_socket_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.delenv(warm.SOCKET_VARIABLE, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    assert warm.start() is None
    assert warm.run_there(["predict"]) is None


def test_its_socket_is_closed_to_other_users(warm_process: Warm):
    assert stat.S_IMODE(Path(warm_process.socket).parent.stat().st_mode) == 0o700
