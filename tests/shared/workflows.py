"""Runs of the workflow by real Snakemake, and what they say."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
HH = ROOT.parent / "shared/data/hh-single-turn"
"""HH-RLHF's single-turn pairs, which are not part of the project."""
SNAKEMAKE = Path(sys.executable).with_name("snakemake")
TINY = ("--configfile", "profiles/demo/experiment.yaml", "tests/tiny.yaml")
"""The demo's DAG of a pair of models that learn next to nothing."""
NOTHING = "Nothing to be done"


def command(folder: Path, *arguments: str) -> list[str]:
    """Return the command that runs the workflow in ``folder``."""
    return [str(SNAKEMAKE), *_options(folder, *arguments)]


def snakemake(
    folder: Path,
    *arguments: str,
    checkout: Path = ROOT,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the workflow of a checkout in ``folder`` and return what it printed.

    It does what `command` does, two seconds faster: it is a fork of a process that has imported
    Snakemake.
    """
    options = _options(folder, *arguments)
    with tempfile.TemporaryDirectory() as name:
        outputs = {stream: Path(name) / stream for stream in ("stdout", "stderr")}
        for output in outputs.values():
            output.touch()
        request = {
            **{"arguments": options, "folder": str(checkout)},
            **{stream: str(output) for stream, output in outputs.items()},
            "environment": dict(environment or {}),
        }
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        print(json.dumps(request), file=server.stdin, flush=True)
        status = int(server.stdout.readline())
        printed = {stream: output.read_text() for stream, output in outputs.items()}
    return subprocess.CompletedProcess(options, status, **printed)


def _options(folder: Path, *arguments: str) -> list[str]:
    return ["--directory", str(folder), "--cores", "2", *arguments]


@cache
def _server() -> subprocess.Popen[str]:
    """Start the process that forks; it ends when this one does."""
    server = Path(__file__).with_name("snakemake_server.py")
    return subprocess.Popen(
        # -P: modules are those of the checkout that a run is of, not of this one.
        [sys.executable, "-P", str(server)],
        # Snakemake looks for plugins among all modules.
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests/plugins")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
