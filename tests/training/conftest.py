"""What the trainings' tests share: a base model and pairs."""

from pathlib import Path

import pytest

from tests.shared.base_models import FAMILIES, save_base
from tests.shared.trainings import write_pairs


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small GPT-2."""
    return save_base(tmp_path_factory.mktemp("models") / "base", FAMILIES["gpt2"])


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return pairs for four steps and a bit."""
    return write_pairs(tmp_path_factory.mktemp("data") / "gt.parquet", 34)
