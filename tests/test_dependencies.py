"""What is installed is what is asked for: every import is declared, and uv itself has hashes."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.shared.workflows import ROOT

DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())
NEEDED = DECLARED["project"]["dependencies"]
OURS = {"workflow_scripts", "tests", "benchmarks"}


def imported(folder: Path) -> set[str]:
    """Return the packages that the modules of a folder import, but for Python's and ours."""
    trees = [ast.walk(ast.parse(file.read_text())) for file in folder.rglob("*.py")]
    nodes = [node for tree in trees for node in tree]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names} - sys.stdlib_module_names - OURS


def canonical(requirement: str) -> str:
    """Return the name of the package that is required."""
    return re.split(r"[^\w-]", requirement)[0].lower().replace("_", "-")


@pytest.mark.parametrize(
    ("folder", "required"),
    [
        ("workflow_scripts", NEEDED),
        ("tests", [*NEEDED, *DECLARED["dependency-groups"]["dev"]]),
        ("benchmarks", [*NEEDED, *DECLARED["dependency-groups"]["dev"]]),
    ],
)
def test_what_is_imported_is_declared(folder: str, required: list[str]):
    installed = packages_distributions()
    declared = {canonical(requirement) for requirement in required}
    undeclared = {
        name
        for name in imported(ROOT / folder)
        if name in installed and not declared & {canonical(one) for one in installed[name]}
    }
    assert not undeclared


def test_uv_is_installed_by_its_hashes():
    lines = (ROOT / "envs/uv.txt").read_text()
    assert re.search(r"^uv==[\d.]+ \\\n +--hash=sha256:[0-9a-f]{64}", lines, re.MULTILINE)
    assert "--require-hashes" in (ROOT / "Makefile").read_text()
