"""What a model is scored as is what its own forward gives, from intake to predictions."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, set_seed

from tests.shared.base_models import FAMILIES, UNLIKE, save_base
from tests.shared.kernels import run_eagerly
from tests.shared.scoring import score_by_hand
from tests.shared.trainings import COMMON, SETTINGS, train, write_pairs
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.kernels import KERNELS, Kernel
from workflow_scripts.methods.readout import Readout
from workflow_scripts.models import checkpoints, own_forward
from workflow_scripts.models.margins import in_batches
from workflow_scripts.models.scorer import OWN_FORWARD, PairScorer
from workflow_scripts.models.tokenise import tokenise

SCALED = {name for name in UNLIKE if name.startswith("logits")}
PROMPTS = ["some prompt of a usual length", "p"]
CHOSEN = ["quite a long answer to it", "in a word, no"]
REJECTED = ["!", "a middling one"]


def text_scores(
    folder: Path, model: PreTrainedModel, readout: Readout, kernel: Kernel
) -> tuple[np.ndarray, list]:
    """Return the scores of four texts, as predictions have them and by the model's own outputs."""
    tokenizer = checkpoints.load_tokenizer(folder)
    sequences = tokenise(tokenizer, ["x", "y"], PROMPTS, [CHOSEN, REJECTED], 48)
    with torch.inference_mode():
        scores = in_batches(PairScorer(model, readout, kernel=kernel), sequences, 192)
        return scores, [float(score_by_hand(model, readout, sequences, row)) for row in range(4)]


@pytest.mark.parametrize("kind", UNLIKE)
def test_every_family_is_scored_as_by_its_own_forward(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run_eagerly(monkeypatch)
    folder = save_base(tmp_path / "model", UNLIKE[kind])
    own_forward.settle(folder, "models: mine")
    recorded = json.loads((folder / "config.json").read_text()).get(OWN_FORWARD, False)
    assert recorded == (kind in SCALED)
    for readout in (
        Readout.REWARD,
        Readout.MEAN_LOG_PROBABILITY,
        Readout.SUMMED_LOG_PROBABILITY,
    ):
        for kernel in KERNELS:
            set_seed(1)
            model = checkpoints.load_base(folder, readout).eval()
            scores, own = text_scores(folder, model, readout, kernel)
            assert np.std(own) > 0.01
            np.testing.assert_allclose(scores, own, atol=2e-5)


def test_the_difference_is_found_in_a_model_of_small_logits_too(tmp_path: Path):
    """After its training they are no longer small."""
    folder = save_base(tmp_path / "model", UNLIKE["logits capped, eager"])
    model = AutoModelForCausalLM.from_pretrained(folder)
    for weight in model.parameters():
        weight.data.mul_(0.01)
    model.save_pretrained(folder)
    own_forward.settle(folder, "models: mine")
    assert json.loads((folder / "config.json").read_text())[OWN_FORWARD]


@pytest.mark.parametrize("kind", ["logits scaled", "a window"])
@pytest.mark.parametrize("objective", ["simpo", "reward_model"])
def test_training_and_predictions_keep_to_it(objective: str, kind: str, tmp_path: Path):
    folder = save_base(tmp_path / "model", UNLIKE[kind])
    own_forward.settle(folder, "models: mine")
    pairs = write_pairs(tmp_path / "pairs.parquet", 8)
    settings = COMMON | SETTINGS[objective] | {"learning_rate": 1e-9}
    record = train(tmp_path / "trained", folder, pairs, settings)
    readout = Readout.REWARD if objective == "reward_model" else Readout.MEAN_LOG_PROBABILITY
    checkpoint = tmp_path / "trained/checkpoint"
    model = checkpoints.load_trained(checkpoint, readout)
    rows = pq.read_table(pairs).to_pydict()
    texts = [rows["chosen"], rows["rejected"]]
    tokenizer = checkpoints.load_tokenizer(checkpoint)
    sequences = tokenise(tokenizer, rows["id"], rows["prompt"], texts, COMMON["max_length"])
    scores = in_batches(PairScorer(model, readout), sequences, 192)
    with torch.inference_mode():
        own = [float(score_by_hand(model, readout, sequences, row)) for row in range(16)]
    np.testing.assert_allclose(scores, own, atol=2e-5)
    margins = torch.tensor(own[:8]) - torch.tensor(own[8:])
    side = 2 * margins - 1 if objective == "simpo" else margins
    loss = torch.nn.functional.softplus(-side).mean()
    assert record["losses"] == pytest.approx([float(loss)], abs=1e-5)


def test_a_model_that_can_be_scored_in_neither_way_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = save_base(tmp_path / "model", FAMILIES["gpt2"])
    monkeypatch.setattr(own_forward, "TOLERANCE", -1.0)
    with pytest.raises(
        UserError, match=r"^models: mine: a pair's mean log-probability is not what"
    ):
        own_forward.settle(folder, "models: mine")
