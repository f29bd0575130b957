"""Start jobs from a process that has imported torch and transformers already.

Importing them takes seconds; forking a process that has takes milliseconds. Where the workflow
runs on one machine and ``execution.warm_start`` is on, Snakemake's main process starts one such
process; each job's command then only hands it its arguments, streams and signals, and waits for
its exit status. Elsewhere (no variable, or nobody behind it) jobs import for themselves.
"""

import contextlib
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
import threading
import traceback
from pathlib import Path
from typing import Any

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
)


def start() -> subprocess.Popen[bytes]:
    """Start the warm process; it ends when the calling process does, however that ends."""
    path = Path(tempfile.mkdtemp(prefix="w2s-")) / "warm.socket"
    os.environ[SOCKET_VARIABLE] = str(path)
    # Nothing is ever written to its standard input: end of file means that the caller is gone.
    return subprocess.Popen(
        [sys.executable, "-m", "workflow_scripts.warm", str(path)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def run_there(argv: list[str]) -> int | None:
    """Run a stage in a fork of the warm process.

    Returns:
        The stage's exit status, or None where there is no warm process.
    """
    path = os.environ.get(SOCKET_VARIABLE)
    if not path:
        return None
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except OSError:
        return None
    request = {"argv": argv, "cwd": os.getcwd(), "environment": dict(os.environ)}
    body = json.dumps(request).encode()
    socket.send_fds(connection, [len(body).to_bytes(8, "big")], [1, 2])
    connection.sendall(body)

    def forward(number: int, _frame: Any) -> None:
        connection.sendall(bytes([number]))

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, forward)
    reply = connection.recv(1)
    if not reply:
        print("error: the job's process was killed (out of memory?)", file=sys.stderr)
        return 137
    return reply[0]


def serve(path: str) -> None:
    """Listen on ``path``, import what jobs need, then fork once for every connection."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(128)
    os.environ.update(OFFLINE)
    if not glob.glob("/dev/nvidia[0-9]*"):
        # Else DeepSpeed warns of every machine without a GPU.
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    for module in _PRELOADED:
        importlib.import_module(module)
    # What is imported lives for ever; the collector need not visit it again in every fork.
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    caller = sys.stdin.fileno()
    while caller not in (ready := select.select([listener, caller], [], [])[0]):
        assert ready == [listener]
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _run_request(connection)
        connection.close()
    shutil.rmtree(Path(path).parent)
    # Nothing here needs an orderly end, and some libraries report one's leaks at length.
    os._exit(0)


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
        threading.Thread(target=_obey, args=(connection,), daemon=True).start()
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
