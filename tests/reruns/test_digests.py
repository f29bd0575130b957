"""The digest of a stage's code changes with what the stage uses, and with nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from workflow_scripts.reruns.digests import Code

PACKAGE = Path(__file__).parents[2] / "workflow_scripts"

STAGE = '''
"""A stage."""
import argparse
from functools import partial

from project import tools
from project.tools import Shape

TABLE = {"dpo": tools.dpo, "simpo": tools.simpo}


def add_arguments(parser):
    parser.add_argument("--side", help="a length")


def run(args):
    from project.lazy import late

    return late(Shape(args.side).area()) + TABLE[args.objective](2) + tools.to_zero(3)
'''
TOOLS = """
from pathlib import Path

TEMPLATE = Path(__file__).with_name("page.txt")
FACTOR = 2
UNUSED = 3
for _ in range(2):
    FACTOR += 1


class Shape:
    side: int

    def __init__(self, side):
        self.side = side

    def area(self):
        return FACTOR * self.side


def dpo(z):
    return -z


def simpo(z):
    return TEMPLATE.read_text()


def unrelated():
    return UNUSED


def to_zero(n):
    return n if n == 0 else by_ones(n)


def by_ones(n):
    return to_zero(n - 1)
"""
LAZY = """
import logging

from project.errors import UserError

logger = logging.getLogger(__name__)


def late(x: int) -> int:
    # Why it is late.
    logger.info("late by %d", x)
    if x > 9:
        raise UserError("too late")
    return helper(x)


def helper(x):
    y: int = x + 1
    return y
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "stages").mkdir(parents=True)
    for name, text in {"stages/stage": STAGE, "tools": TOOLS, "lazy": LAZY}.items():
        (folder / f"{name}.py").write_text(text)
    errors = 'CHANGES_NO_RESULT = "messages"\n\n\nclass UserError(Exception):\n    pass\n'
    (folder / "errors.py").write_text(errors)
    (folder / "page.txt").write_text("a page")
    return folder


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("lazy.py", "x + 1", "x + 2", True),
        ("lazy.py", "y: int = x + 1\n    return y", "return x + 1", True),
        ("tools.py", "FACTOR = 2", "FACTOR = 4", True),
        ("tools.py", "FACTOR * self.side", "self.side * FACTOR", True),
        ("tools.py", "side: int", "side: float", True),
        ("tools.py", "return -z", "return z", True),
        ("tools.py", "range(2)", "range(3)", True),
        ("tools.py", "to_zero(n - 1)", "to_zero(n - 2)", True),
        (
            "stages/stage.py",
            "from project.tools import Shape",
            "from project.lazy import late as Shape",
            True,
        ),
        ("stages/stage.py", "import late\n", "import helper as late\n", True),
        ("lazy.py", "# Why it is late.", "# Because.", False),
        ("lazy.py", "def late(x: int) -> int:", "def late(x):", False),
        ("lazy.py", "y: int = x + 1", "y=(x\n  +1)", False),
        ("lazy.py", "late by %d", "%d late", False),
        ("lazy.py", "too late", "later than that", False),
        ("stages/stage.py", '"""A stage."""', '"""The stage."""', False),
        ("stages/stage.py", "a length", "its length", False),
        ("stages/stage.py", "partial\n", "reduce\n", False),
        ("tools.py", "UNUSED = 3", "UNUSED = 4", False),
        ("tools.py", "return UNUSED", "return 0", False),
        ("tools.py", "TEMPLATE.read_text()", "str(TEMPLATE)", False),
        ("page.txt", "a page", "a leaf", False),
        ("errors.py", "pass", "code = 2", False),
    ],
)
def test_a_digest_changes_with_what_is_used_alone(
    file: str, old: str, new: str, changed: bool, package: Path
):
    before = Code(package).digest("stage", "dpo")
    text = (package / file).read_text()
    assert text.count(old) == 1
    (package / file).write_text(text.replace(old, new))
    assert (Code(package).digest("stage", "dpo") != before) is changed


def moved(old: str, new: str, *also: tuple[str, str]) -> Callable[[Path], None]:
    """Return a change: a module has another place or name, and all who import it know."""

    def change(package: Path) -> None:
        place = package.joinpath(*new.split(".")).with_suffix(".py")
        place.parent.mkdir(exist_ok=True)
        (package / f"{old}.py").rename(place)
        if place.parent != package:
            (package / "page.txt").rename(place.parent / "page.txt")
        renamed((f"project.{old}", f"project.{new}"), *also)(package)

    return change


def renamed(*names: tuple[str, str]) -> Callable[[Path], None]:
    """Return a change: names are others wherever they stand."""

    def change(package: Path) -> None:
        for file in package.rglob("*.py"):
            text = file.read_text()
            for old, new in names:
                text = text.replace(old, new)
            file.write_text(text)

    return change


RENAMED_MODULE = (
    ("from project import tools", "from project import instruments"),
    ("tools.dpo", "instruments.dpo"),
    ("tools.simpo", "instruments.simpo"),
    ("tools.to_zero", "instruments.to_zero"),
)


@pytest.mark.parametrize(
    "change",
    [
        moved(
            "tools", "shed.tools", ("from project import tools", "from project.shed import tools")
        ),
        moved("tools", "instruments", *RENAMED_MODULE),
        renamed(("helper", "assistant")),
        renamed(("dpo(", "direct("), ("tools.dpo", "tools.direct")),
        renamed(("Shape", "Form"), ("FACTOR", "TIMES"), ("TEMPLATE", "PAGE")),
        renamed(("by_ones", "down"), ("to_zero", "a_zero")),
        renamed(("import late\n", "import late as later\n"), ("return late(", "return later(")),
        renamed(("import partial", "import partial as part")),
        renamed(
            ("from project import tools", "from project import tools as t"),
            ("tools.", "t."),
            ("project.t.", "project.tools."),
            ("project.t ", "project.tools "),
        ),
    ],
    ids=[
        "a module is moved",
        "a module is renamed",
        "a function is renamed",
        "what a table holds is renamed",
        "a class and constants are renamed",
        "functions that use each other are renamed",
        "an import has another name",
        "an unused import has another name",
        "a module is imported under another name",
    ],
)
def test_a_digest_does_not_know_where_code_lives(change: Callable[[Path], None], package: Path):
    before = [Code(package).digest("stage", choice) for choice in ("dpo", "simpo")]
    texts = {file.read_text() for file in package.rglob("*.py")}
    change(package)
    assert {file.read_text() for file in package.rglob("*.py")} != texts
    assert [Code(package).digest("stage", choice) for choice in ("dpo", "simpo")] == before


def test_a_local_name_is_not_what_a_module_calls_the_same(package: Path):
    before = Code(package).digest("stage")
    lazy = package / "lazy.py"
    lazy.write_text(lazy.read_text().replace("def helper", "x = unrelated = 1\n\n\ndef helper"))
    assert Code(package).digest("stage") == before


def test_a_choice_cuts_tables_down_to_its_entry(package: Path):
    simpo = Code(package).reached("stage", "simpo")
    assert {"project.tools.simpo", "project/page.txt"} <= simpo
    assert "project.tools.dpo" not in simpo
    assert {"project.tools.dpo", "project.tools.simpo"} <= Code(package).reached("stage")


def test_a_file_that_the_code_names_counts_by_its_content(package: Path):
    before = Code(package).digest("stage", "simpo")
    (package / "page.txt").write_text("another page")
    assert Code(package).digest("stage", "simpo") != before


def test_each_objective_has_its_own_losses():
    code = Code(PACKAGE)
    reached = {
        objective: {name for name in code.reached("train", objective, "none") if ".losses." in name}
        for objective in ("sft", "reward_model", "simpo", "dpo")
    }
    losses = "workflow_scripts.methods.losses."
    for objective, names in reached.items():
        assert names - {f"{losses}_side", f"{losses}_at_least_float32"} == {losses + objective}
    assert f"{losses}explicit_conflict" in code.reached("train", "dpo", "explicit")
    assert "workflow_scripts.report.figures.accuracies.draw" in code.reached("figures")
    assert "workflow_scripts/report/templates/page.html.j2" in code.reached("page")
    assert "workflow_scripts/measures/probe.schema.json" in code.reached("probe")


def test_the_libraries_of_a_stage_are_those_that_its_code_names():
    code = Code(PACKAGE)
    assert {"torch", "transformers"} <= set(code.libraries("train"))
    assert not {"torch", "transformers", "json", "pathlib"} & set(code.libraries("probe"))
