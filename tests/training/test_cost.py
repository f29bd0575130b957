"""What trainings ask of the machine, counted in operations: no clock, so no noise."""

import copy
import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from tests.shared.base_models import FAMILIES
from tests.shared.counting import Operations, Waits
from tests.shared.kernels import EACH_KERNEL, lay_rows_as_on_a_gpu, run_eagerly
from tests.shared.trainings import COMMON, SETTINGS, metrics, train
from workflow_scripts.config.stage_settings import TrainSettings
from workflow_scripts.methods.compat import Compat
from workflow_scripts.methods.conflicts.explicit import Explicit
from workflow_scripts.methods.conflicts.none import NoConflict
from workflow_scripts.methods.readout import Readout
from workflow_scripts.models import checkpoints
from workflow_scripts.models.margins import in_batches
from workflow_scripts.models.rows import packing
from workflow_scripts.models.scorer import PairScorer
from workflow_scripts.models.tokenise import TokenSequences, members


def test_the_gradients_norm_is_computed_for_the_log_alone(base, pairs, tmp_path):
    """Steps of which every second is logged, none of them clipped."""
    settings = SETTINGS["simpo"] | {"epochs": 26}
    with Operations() as operations:
        record = train(tmp_path, base, pairs, settings)
    assert record["steps"] == 104
    logged = metrics(tmp_path)
    assert [line["step"] for line in logged] == list(range(2, 105, 2))
    assert all(line["grad_norm"] > 0 for line in logged)
    assert operations.count["aten._foreach_norm"] == len(logged)
    assert not any(name.startswith("aten._foreach_mul") for name in operations.count)


@pytest.mark.parametrize("kernel", EACH_KERNEL)
def test_a_step_waits_for_the_gpu_once_and_copies_without_waiting(
    kernel, base, pairs, tmp_path, monkeypatch
):
    """Counted in trainings of four and of eight steps, packed as on a GPU."""
    run_eagerly(monkeypatch)
    lay_rows_as_on_a_gpu(monkeypatch)
    waits, copies = [], []
    for epochs in (1, 2):
        with Waits() as counted:
            settings = SETTINGS["simpo"] | {"epochs": epochs}
            more = ["--attention", kernel]
            train(tmp_path / str(epochs), base, pairs, settings, *more, micro_batch=8)
        waits.append(counted.count)
        copies.append(counted.copies)
    # The step's losses; and, since all of these steps are logged, the Trainer's loss and the norm.
    assert waits[1] - waits[0] == {"tolist": 4 * 1, "item": 4 * 2}
    # Texts in seven tensors and, packed, two more; labels and the reference's margins.
    assert 4 * 9 <= copies[1] - copies[0] <= 4 * 11


def test_scoring_waits_for_the_gpu_once_however_many_batches_there_are(base, monkeypatch):
    lay_rows_as_on_a_gpu(monkeypatch)
    readout = Readout.SUMMED_LOG_PROBABILITY
    scorer = PairScorer(checkpoints.load_base(str(base), readout), readout)
    sequences = random_sequences(16)
    counts = []
    for tokens_at_once in (60, 1000):
        with Waits() as counted:
            in_batches(scorer, sequences, tokens_at_once)
        counts.append((counted.count, counted.copies))
    assert counts[0][0] == counts[1][0] == {"cpu": 1, "numpy": 1}
    assert counts[0][1] > counts[1][1] > 0


def random_sequences(count):
    """Return sequences of random tokens and lengths whose first four are their prompts."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(8, 30, count)
    starts = np.cumsum(lengths) - lengths
    tokens = generator.integers(1, 200, lengths.sum())
    return TokenSequences(tokens, starts, lengths, np.full(count, 4))


WITHOUT_FIXED_ORDER = {
    *("aten.nll_loss2d_forward", "aten.put_", "aten.histc", "aten.bincount", "aten.median"),
    *("aten.scatter_reduce", "aten._ctc_loss_backward", "aten._embedding_bag_dense_backward"),
    *("aten.grid_sampler_2d_backward", "aten.upsample_linear1d_backward", "aten.kthvalue"),
}
"""What of torch.use_deterministic_algorithms' list a language model might use: errors on a GPU."""
CONFLICTS = [NoConflict(), Explicit(alpha=0.5)]


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_from_tokens_to_gradients_depends_on_what_a_gpu_has_computed(family, monkeypatch):
    """On torch's device without data, where every wait for a number or a size is an error.

    Nor is there an operation of which torch has no form that adds in a fixed order on a GPU.
    """
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    sequences = random_sequences(16)
    rows = members(16, 8)
    packed = packing(sequences.row_lengths(rows), np.arange(8) // 2)
    with torch.device("meta"):
        one_label = copy.deepcopy(FAMILIES[family])
        one_label.num_labels = 1
        classifier = AutoModelForSequenceClassification.from_config(one_label)
        generative = AutoModelForCausalLM.from_config(FAMILIES[family])
        numbers = torch.zeros(8)
    operations = Operations()
    for settings in (SETTINGS[name] for name in ("reward_model", "simpo", "dpo")):
        method = TrainSettings.parsed(json.dumps(COMMON | settings)).method
        readout = method.readout(Compat())
        model = classifier if readout.is_reward else generative
        scorer = PairScorer(model, readout)
        for batch in (sequences.padded(rows), sequences.padded(rows) | packed):
            with operations:
                scores = scorer(**{name: tensor.to("meta") for name, tensor in batch.items()})
                for conflict in CONFLICTS:
                    objective = method.objective(conflict, None, Compat())
                    loss, _ = objective(scores, numbers, numbers)
                    loss.sum().backward(retain_graph=True)
    assert operations.count["aten.mm"] + operations.count["aten.addmm"] > 0
    assert not operations.count.keys() & WITHOUT_FIXED_ORDER
