"""What the documentation names is there."""

import importlib
import re
from functools import reduce

import pytest

from tests.shared.workflows import ROOT

_, TABLES = (ROOT / "docs/method.md").read_text().split("## Margins and losses")
NAMED = re.findall(r"`([\w.]+):([\w.]+)`", TABLES)


@pytest.mark.parametrize(("module", "name"), sorted(set(NAMED)))
def test_the_code_of_every_formula_is_where_the_method_says(module: str, name: str):
    assert callable(
        reduce(getattr, name.split("."), importlib.import_module(f"workflow_scripts.{module}"))
    )
