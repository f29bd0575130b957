"""The packages are floors of a house: an import goes down, or to `core`, and never up."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shared.workflows import ROOT

PACKAGE = ROOT / "workflow_scripts"
BELOW = {
    "training": {"models", "methods", "data", "config", "runtime"},
    "models": {"methods", "data", "config", "runtime"},
    "report": {"measures", "methods", "config"},
    "cluster": {"methods", "config"},
    "reruns": {"methods", "config", "measures"},
    "config": {"methods", "data"},
    "methods": {"data"},
    "measures": set(),
    "data": set(),
    "runtime": set(),
    "core": set(),
}
"""The packages that each may import, besides itself and `core`; `stages` may import all."""
LONGEST_STAGE = 119


def imports(file: Path) -> Iterator[str]:
    """Yield the packages of this project that a module imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.ImportFrom(module=str(module), names=names):
                dotted = [f"{module}.{alias.name}" for alias in names]
            case ast.Import(names):
                dotted = [alias.name for alias in names]
            case _:
                continue
        parts = (name.split(".") for name in dotted)
        yield from (part[1] for part in parts if part[0] == PACKAGE.name and len(part) > 1)


@pytest.mark.parametrize("package", BELOW)
def test_imports_go_down(package: str):
    allowed = BELOW[package] | {"core", package}
    upward = {
        f"{file.relative_to(PACKAGE)} imports {imported}"
        for file in (PACKAGE / package).rglob("*.py")
        for imported in imports(file)
        if imported not in allowed
    }
    assert not upward


def test_every_package_has_its_floor():
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages - {"stages"} <= set(BELOW)


def test_a_stage_is_one_short_file():
    stages = [file for file in (PACKAGE / "stages").rglob("*.py") if file.name != "__init__.py"]
    lines = {file.name: len(file.read_text().splitlines()) for file in stages}
    assert not {name: count for name, count in lines.items() if count > LONGEST_STAGE}


def test_no_module_is_a_drawer_for_everything():
    names = {file.stem for file in PACKAGE.rglob("*.py")}
    assert not names & {"utils", "util", "helpers", "common", "misc"}
