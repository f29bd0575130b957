"""Readouts of a model on several ranks are those of one rank, to the byte."""

import json
import shutil

import numpy as np
import pytest

from tests.shared.base_models import FAMILIES, save_base
from tests.shared.ranks import run_on_two_ranks
from tests.shared.stages import run_stage
from tests.shared.trainings import write_pairs
from workflow_scripts.runtime import meeting

COMMON = {"max_length": 48, "compat": {}}
DPO = ("--settings", json.dumps(COMMON | {"objective": "dpo", "beta": 0.1}))
SIMPO = ("--settings", json.dumps(COMMON | {"objective": "simpo"}))
REFERENCE = ("--settings", json.dumps(COMMON))


@pytest.mark.slow
def test_two_ranks_share_readouts_out_and_write_the_bytes_of_one(tmp_path, warm_process):
    """Each has half of the batches of one rank; the first alone has a model to read."""
    pairs = write_pairs(tmp_path / "pairs.parquet", 34)
    common = ("--pairs", pairs, "--micro-batch", 2, "--threads", 1)
    frozen = ("--reference", tmp_path / "reference.1")
    for stage, family, *more in (
        ("reference", "gpt2", *REFERENCE),
        ("predict", "mistral", *SIMPO),
        ("weak_labels", "opt-350m", *DPO, *frozen),
    ):
        model = save_base(tmp_path / f"{family} 0", FAMILIES[family])
        without_weights = tmp_path / f"{family} 1"
        shutil.copytree(model, without_weights, ignore=shutil.ignore_patterns("*.safetensors"))
        words = (*more, *common, "--model", tmp_path / f"{family} {{rank}}", "--output")
        one, two = (tmp_path / f"{stage}.{ranks}" for ranks in (1, 2))
        run_stage(stage, *[model if "{rank}" in str(word) else word for word in words], one)
        said = run_on_two_ranks(warm_process, stage, *words, two)
        assert [status for status, _ in said] == [0, 0], said
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(("ranks", "pieces"), [(1, 5), (2, 40), (4, 40), (8, 3)])
def test_ranks_have_about_equally_much_to_score(ranks, pieces, monkeypatch):
    costs = sorted(np.random.default_rng(0).integers(900, 1000, pieces).tolist(), reverse=True)
    monkeypatch.setenv("WORLD_SIZE", str(ranks))
    shares = meeting.shares(costs)
    assert sorted(place for share in shares for place in share) == list(range(pieces))
    loads = [sum(costs[place] for place in share) for share in shares]
    assert max(loads) - min(loads) <= max(costs)
