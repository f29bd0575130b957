"""A hub that never answers, as behind some proxies, is not waited for for ever."""

import socket
import subprocess
import sys

from tests.shared.workflows import ROOT

ASK = """
import sys
from huggingface_hub import constants, get_session
from workflow_scripts.core import hub_requests

constants.DEFAULT_REQUEST_TIMEOUT = 0.2
hub_requests.bound()
try:
    get_session().get(sys.argv[1], timeout=None)
except Exception as error:
    print(type(error).__name__)
"""


def test_a_request_that_would_wait_for_ever_ends():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        asked = [sys.executable, "-c", ASK, address]
        ran = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.stdout == "ReadTimeout\n", ran.stderr
