"""A hub that never answers, as behind some proxies, is not waited for for ever."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shared.workflows import ROOT

BOUND = """
import sys
from huggingface_hub import constants
constants.DEFAULT_REQUEST_TIMEOUT = 0.2
constants.HF_HUB_DOWNLOAD_TIMEOUT = constants.HF_HUB_ETAG_TIMEOUT = 0.2
"""
ASK = """
from huggingface_hub import get_session
from workflow_scripts.core import hub_requests
hub_requests.bound()
for seconds in (None, 60):
    try:
        get_session().get(constants.ENDPOINT, timeout=seconds)
    except Exception as error:
        print(type(error).__name__)
"""
PREPARE = """
from workflow_scripts.__main__ import run_stage
sys.exit(run_stage(sys.argv[1:]))
"""


@pytest.fixture
def silent() -> Iterator[str]:
    """Return the address of a hub that takes connections and says nothing."""
    with socket.socket() as hub:
        hub.bind(("127.0.0.1", 0))
        hub.listen()
        yield f"http://127.0.0.1:{hub.getsockname()[1]}"


def ask(code: str, address: str, cache: Path, *given: str) -> subprocess.CompletedProcess[str]:
    """Run code with a bound of 0.2 s in a process that has never asked a hub."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return subprocess.run(
        [sys.executable, "-c", BOUND + code, *given],
        cwd=ROOT,
        env=clean | {"HF_ENDPOINT": address, "HF_HOME": str(cache)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_request_that_would_wait_for_ever_or_long_ends(silent: str, tmp_path: Path):
    ran = ask(ASK, silent, tmp_path)
    assert ran.stdout == "ReadTimeout\nReadTimeout\n", ran.stderr


@pytest.mark.slow  # The library waits longer each time that it tries again.
def test_data_of_a_hub_that_never_answers_are_one_line(silent: str, tmp_path: Path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    source = {"hub": "owner/data", "revision": commit, "format": "columns"}
    sets = {name: {"size": 1, "source": source} for name in ("test", "gt", "weak", "helpful")}
    settings = json.dumps({"target": "sums", "seed": 0, "max_bad": 0, "sets": sets})
    given = ("prepare_data", "--settings", settings, "--output", str(tmp_path / "out"))
    ran = ask(PREPARE, silent, tmp_path, *given)
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"error: sums.test: owner/data@{commit}:train: `hub` cannot be reached")
    assert line.endswith(
        "; check the network, or get it where there is one and name the copy as `path`"
    )
