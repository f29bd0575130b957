"""Runs of the workflow by real Snakemake, and what they say."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SNAKEMAKE = Path(sys.executable).with_name("snakemake")
TINY = ("--configfile", "profiles/demo/experiment.yaml", "tests/tiny.yaml")
"""The demo's DAG of a pair of models that learn next to nothing."""
NOTHING = "Nothing to be done"


def command(folder: Path, *arguments: str) -> list[str]:
    """Return the command that runs the workflow in ``folder``."""
    return [str(SNAKEMAKE), "--directory", str(folder), "--cores", "2", *arguments]


def snakemake(
    folder: Path, *arguments: str, checkout: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run the workflow of a checkout in ``folder`` and return what it printed."""
    return subprocess.run(
        command(folder, *arguments), cwd=checkout, capture_output=True, text=True, check=False
    )
