"""Start jobs from a process that has imported torch and transformers already.

Importing them takes seconds; forking a process that has takes milliseconds. Where the workflow
runs on one machine and ``execution.warm_start`` is on, Snakemake's main process starts one such
process; each job's command then only hands it its arguments, streams and signals, and waits for
its exit status. Elsewhere jobs import for themselves: where there is no such process, where it
cannot import, and where that takes longer than `PATIENCE`.
"""

import atexit
import contextlib
import fcntl
import gc
import glob
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import first_line
from workflow_scripts.runtime import environment, threads

PATIENCE = 120.0
"""Seconds that the warm process may take to import, and a job waits for it at most."""
SOCKET_VARIABLE = "W2S_WARM_SOCKET"
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
"""Keeps the hub's libraries, which read it as they are imported, from asking the network."""
_PRELOADED = (
    "deepspeed",
    "transformers.trainer",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.llama.modeling_llama",
    "workflow_scripts.stages.train",
    "workflow_scripts.training.trainer",
    "workflow_scripts.models.margins",
    "workflow_scripts.stages.pretrain",
    "workflow_scripts.stages.probe",
    "jsonschema_rs",
    "scipy.special",
    "pyarrow.parquet",
    "matplotlib.figure",
    "matplotlib.backends.backend_svg",
    "matplotlib.backends.backend_agg",
)


def start() -> subprocess.Popen[bytes] | None:
    """Start the warm process; it ends when the calling process does, however that ends.

    Returns:
        The process; None where there is no room for its socket, and jobs import for themselves.
    """
    try:
        folder = tempfile.mkdtemp(prefix="w2s-")
    except OSError:
        return None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder, "warm.socket")
    os.environ[SOCKET_VARIABLE] = str(path)
    # Nothing is ever written to its standard input: end of file means that the caller is gone.
    return subprocess.Popen(
        [sys.executable, "-m", "workflow_scripts.warm", str(path)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def run_there(argv: list[str], patience: float = PATIENCE) -> int | None:
    """Run a stage in a fork of the warm process.

    Args:
        argv: the stage and its arguments.
        patience: seconds to wait for a process that is still importing.

    Returns:
        The stage's exit status, or None where there is no warm process.
    """
    connection = _connected(os.environ.get(SOCKET_VARIABLE), patience)
    if connection is None:
        return None
    request = {"argv": argv, "cwd": os.getcwd(), "environment": dict(os.environ)}
    body = json.dumps(request).encode()

    told: list[int] = []

    def forward(number: int, _frame: Any) -> None:
        told.append(number)
        with contextlib.suppress(OSError):
            connection.sendall(bytes([number]))

    try:
        socket.send_fds(connection, [len(body).to_bytes(8, "big")], [1, 2])
        connection.sendall(body)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, forward)
        reply = connection.recv(1)
    except ConnectionError:
        # Killed before it had read all that it was sent.
        reply = b""
    if reply:
        return reply[0]
    # The second signal ends a stage at once.
    if len(told) > 1:
        print(f"error: stopped as told ({signal.Signals(told[-1]).name})", file=sys.stderr)
        return 128 + told[-1]
    print("error: the job's process was killed (out of memory?)", file=sys.stderr)
    return 137


def _connected(path: str | None, patience: float) -> socket.socket | None:
    """Return a connection to the warm process, once it has imported what it needs to."""
    until = time.monotonic() + patience
    while path:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
            return connection
        except FileNotFoundError:
            # Still importing, if not for too long: its folder is as old as the process.
            connection.close()
            with contextlib.suppress(OSError):
                age = time.time() - Path(path).parent.stat().st_mtime
                if age < PATIENCE and time.monotonic() < until:
                    time.sleep(0.05)
                    continue
            return None
        except OSError:
            connection.close()
            return None
    return None


def serve(path: str) -> None:
    """Import what jobs need, listen on ``path``, then fork once for every connection."""
    try:
        with _at_most(PATIENCE), _ending_with(sys.stdin.fileno()):
            _import()
        listener = _listen(path)
    except Exception as error:
        shutil.rmtree(Path(path).parent, ignore_errors=True)
        print(f"No warm start ({first_line(error)}): jobs import for themselves.", file=sys.stderr)
        return
    # What is imported lives for ever; the collector need not visit it again in every fork.
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    caller = sys.stdin.fileno()
    while caller not in (ready := select.select([listener, caller], [], [])[0]):
        assert ready == [listener]
        connection, _ = listener.accept()
        # Where there is no memory for another process, its command says so.
        with contextlib.suppress(OSError):
            if os.fork() == 0:
                listener.close()
                _run_request(connection)
        connection.close()
    shutil.rmtree(Path(path).parent, ignore_errors=True)
    # Nothing here needs an orderly end, and some libraries report one's leaks at length.
    os._exit(0)


def _import() -> None:
    environment.clear()
    os.environ.update(OFFLINE)
    if not glob.glob("/dev/nvidia[0-9]*"):
        # Otherwise DeepSpeed warns of every machine without a GPU.
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    for module in _PRELOADED:
        importlib.import_module(module)
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    # transformers makes its table of renamed weights when a model is first loaded, half of the time
    # that loading a small one takes.
    get_checkpoint_conversion_mapping("gpt2")


def _listen(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    # Renamed when it listens: until then it would refuse a job.
    listener.bind(f"{path}.new")
    listener.listen(128)
    os.rename(f"{path}.new", path)
    return listener


@contextlib.contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Have the kernel end this process unless the context ends in time."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)


@contextlib.contextmanager
def _ending_with(caller: int) -> Iterator[None]:
    """Have the kernel end this process when the other end of a pipe is closed.

    The kernel, since a thread that waits for that gets no turn while an import hangs in C.
    """
    flags = fcntl.fcntl(caller, fcntl.F_GETFL)
    fcntl.fcntl(caller, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(caller, fcntl.F_SETFL, flags | os.O_ASYNC)
    if select.select([caller], [], [], 0)[0]:
        sys.exit()
    yield
    fcntl.fcntl(caller, fcntl.F_SETFL, flags)


def _run_request(connection: socket.socket) -> None:
    """Become the job: take its streams, folder and environment, run it, send its status, exit."""
    from workflow_scripts.__main__ import run_stage

    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        header, streams, _, _ = socket.recv_fds(connection, 8, 2)
        length = int.from_bytes(header, "big")
        body = connection.recv(length, socket.MSG_WAITALL)
        request = json.loads(body)
        for stream, number in zip(streams, (1, 2), strict=True):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environment"])
        threads.start(_obey, connection)
        status = run_stage(request["argv"])
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
            connection.sendall(bytes([status]))
        os._exit(status)


def _obey(connection: socket.socket) -> None:
    """Pass on the signals that the waiting command got; end when that command is gone."""
    while number := connection.recv(1):
        os.kill(os.getpid(), number[0])
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    serve(sys.argv[1])
