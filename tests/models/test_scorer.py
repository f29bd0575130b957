"""Texts that share a prompt or a row are scored as each would be alone, in every family."""

import re
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import Lfm2Config, set_seed

from tests.shared.base_models import FAMILIES, SMALL, save_base
from tests.shared.kernels import EACH_KERNEL, run_eagerly
from tests.shared.scoring import score_by_hand
from tests.shared.trainings import COMMON, SETTINGS, train, write_pairs
from workflow_scripts.methods import losses
from workflow_scripts.methods.readout import Readout
from workflow_scripts.models import checkpoints
from workflow_scripts.models import margins as model_margins
from workflow_scripts.models.rows import packing
from workflow_scripts.models.scorer import PairScorer, shares_prompts
from workflow_scripts.models.tokenise import members, one_a_row, tokenise
from workflow_scripts.runtime import device


@pytest.mark.parametrize("kernel", EACH_KERNEL)
@pytest.mark.parametrize("family", FAMILIES)
def test_texts_are_scored_with_their_prompt_once_as_they_are_alone(
    family, kernel, tmp_path, monkeypatch
):
    """Their gradients, too, are those of the model's own forward, text by text."""
    run_eagerly(monkeypatch)
    folder = save_base(tmp_path / family, FAMILIES[family])
    tokenizer = checkpoints.load_tokenizer(str(folder))
    # A usual pair, one with a prompt of a token, one whose prompts are cut to different lengths,
    # one of which two responses fill all the length that there is.
    prompts = ["some prompt", "p", "a prompt of thirty characters.", "gone"]
    chosen = ["quite a long answer", "hm", "in a word, no", "x" * 40]
    rejected = ["!", "a middling one", "b", "y" * 40]
    sequences = tokenise(tokenizer, ["w", "x", "y", "z"], prompts, [chosen, rejected], 32)
    rows = members(8, 4)
    assert sequences.row_lengths(rows).tolist() == [11 + 19 + 1, 2 + 1 + 15, 32 + 31, 32 + 32]
    # What is read off hidden states is the same code for both kernels.
    some = {Readout.REWARD, Readout.SUMMED_LOG_PROBABILITY}
    for readout in Readout if kernel == "dense" else some:
        set_seed(1)
        model = checkpoints.load_base(str(folder), readout)
        if readout.is_reward:
            torch.nn.init.normal_(model.get_parameter("score.weight"))
        assert shares_prompts(model, 32)
        apart = PairScorer(model.eval(), readout, kernel=kernel)
        with monkeypatch.context() as on_a_gpu:
            on_a_gpu.setattr(device, "keeps_rows_apart", lambda: False)
            scorer = PairScorer(model, readout, kernel=kernel)
        assert scorer.skips_blocks == (kernel == "flex")
        assert [each.keeps_apart for each in (apart, scorer)] == [kernel == "dense", False]
        single = one_a_row(rows)
        with torch.inference_mode():
            together = [each(**sequences.padded(rows)) for each in (apart, scorer)]
            for into in (np.array([0, 0, 0, 0]), np.array([1, 0, 1, 0])):
                places = packing(sequences.row_lengths(rows), into)
                together.append(scorer(**sequences.padded(rows), **places))
            if kernel == "dense":
                # To flex a text a row is nothing new, and each length takes it a second.
                each = [scorer(**sequences.padded(single[[row]])) for row in range(8)]
                together += [scorer(**sequences.padded(single)), torch.cat(each)]
                together.append(apart(**sequences.padded(single)))
            into = packing(sequences.row_lengths(single[:4]), np.array([0, 1, 1, 1]))
            chosen_packed = scorer(**sequences.padded(single[:4]), **into)
            alone = torch.stack([score_by_hand(model, readout, sequences, r) for r in range(8)])
        assert alone.std() > 0.01
        for scores in together:
            torch.testing.assert_close(scores.double(), alone, rtol=0, atol=1e-5)
        torch.testing.assert_close(chosen_packed.double(), alone[:4], rtol=0, atol=1e-5)
        if readout not in some:
            continue
        into = packing(sequences.row_lengths(rows), np.array([1, 0, 1, 0]))
        in_rows = gradient(model, scorer(**sequences.padded(rows), **into))
        by_row = gradient(model, apart(**sequences.padded(rows)))
        own = [score_by_hand(model, readout, sequences, row).squeeze() for row in range(8)]
        of_texts = gradient(model, torch.stack(own))
        for found in (in_rows, by_row):
            assert (found - of_texts).norm() <= 1e-5 * of_texts.norm()


def gradient(model, scores):
    """Return the gradient of scores, each weighted otherwise, as one vector."""
    model.zero_grad()
    (scores * torch.linspace(-1, 1, len(scores))).sum().backward()
    given = [weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]
    return torch.cat(given)


def test_on_a_cpu_no_padding_goes_through_a_model(tmp_path):
    folder = save_base(tmp_path / "gpt2", FAMILIES["gpt2"])
    texts = [["quite a long answer", "c!"], ["hm", "a middling one"]]
    tokenizer = checkpoints.load_tokenizer(str(folder))
    sequences = tokenise(tokenizer, ["x", "y"], ["some prompt", "another"], texts, 64)
    model = checkpoints.load_base(str(folder), Readout.REWARD)
    went: list[torch.Size] = []
    model.get_submodule("transformer.h.0").register_forward_hook(
        lambda _module, given, _output: went.append(given[0].shape[:2])
    )
    rows = members(4, 2)
    PairScorer(model, Readout.REWARD)(**sequences.padded(rows))
    assert went == [(1, sequences.row_lengths(rows).sum())]


@pytest.mark.parametrize("readout", [Readout.REWARD, Readout.SUMMED_LOG_PROBABILITY])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_last_feed_forward_layer_runs_for_what_is_read(family, readout, tmp_path):
    folder = save_base(tmp_path / family, FAMILIES[family])
    texts = [["quite a long answer", "c!"], ["hm", "a middling one"]]
    tokenizer = checkpoints.load_tokenizer(str(folder))
    sequences = tokenise(tokenizer, ["x", "y"], ["some prompt", "another"], texts, 64)
    model = checkpoints.load_base(str(folder), readout)
    went: list[int] = []
    down = re.compile(r"mlp\.(c_proj|dense_4h_to_h|down_proj)|fc2")
    for name, module in model.named_modules():
        if down.search(name):
            module.register_forward_hook(lambda _, given, __: went.append(given[0][..., 0].numel()))
    rows = members(4, 2)
    batch = sequences.padded(rows)
    PairScorer(model, readout)(**batch)
    read = batch["last"].numel() if readout.is_reward else len(batch["scored"])
    assert went == [sequences.row_lengths(rows).sum(), read]


@pytest.mark.parametrize("family", ["gpt2", "opt", "mistral"])
@pytest.mark.parametrize("readout", [Readout.REWARD, Readout.SUMMED_LOG_PROBABILITY])
@pytest.mark.parametrize("kernel", EACH_KERNEL)
def test_bfloat16_is_of_the_products_and_not_of_weights_gradients_and_scores(
    family, readout, kernel, tmp_path, monkeypatch
):
    """What a GPU that has it computes with; here autocast does the same on the CPU."""
    run_eagerly(monkeypatch)
    folder = save_base(tmp_path / family, FAMILIES[family])
    tokenizer = checkpoints.load_tokenizer(str(folder))
    columns = [["quite a long answer", "c!"], ["hm", "a middling one"]]
    sequences = tokenise(tokenizer, ["x", "y"], ["some prompt", "another"], columns, 64)
    model = checkpoints.load_base(str(folder), readout)
    if readout.is_reward:
        torch.nn.init.normal_(model.get_parameter("score.weight"))
    scores, gradients = [], []
    for low_precision in (False, True):
        model.zero_grad()
        scorer = PairScorer(model, readout, low_precision=low_precision, kernel=kernel)
        scored = scorer(**sequences.padded(members(4, 2)))
        scored.sum().backward()
        scores.append(scored.detach())
        embeddings = next(model.parameters())
        assert embeddings.grad is not None
        gradients.append(embeddings.grad.clone())
    assert {tensor.dtype for tensor in gradients} == {torch.float32}
    assert scores[0].dtype == scores[1].dtype
    for full, low in (scores, gradients):
        error = (low - full).norm() / full.norm()
        assert 0 < error < 0.2  # random weights this large amplify the least error


def test_a_family_that_cannot_share_prompts_has_each_text_by_itself(tmp_path):
    """A text before another in its row would be seen by it, say in convolutions."""
    shape: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_key_value_heads": 2}
    shape |= SMALL
    shape["layer_types"] = ["conv", "full_attention"]
    config = Lfm2Config(**shape)
    folder = save_base(tmp_path / "convolutional", config)
    pairs = write_pairs(tmp_path / "pairs.parquet", 8)
    model = checkpoints.load_base(str(folder), Readout.MEAN_LOG_PROBABILITY).eval()
    assert not shares_prompts(model, 32)
    given = {**COMMON, **SETTINGS["simpo"], "learning_rate": 1e-9}
    record = train(tmp_path / "trained", folder, pairs, given)
    rows = pq.read_table(pairs).to_pydict()
    texts = [rows["chosen"], rows["rejected"]]
    tokenizer = checkpoints.load_tokenizer(str(folder))
    sequences = tokenise(tokenizer, rows["id"], rows["prompt"], texts, COMMON["max_length"])
    with torch.inference_mode():
        scores = model_margins.in_batches(
            PairScorer(model, Readout.MEAN_LOG_PROBABILITY), sequences, 99
        )
        by_hand = [
            score_by_hand(model, Readout.MEAN_LOG_PROBABILITY, sequences, r) for r in range(16)
        ]
    np.testing.assert_allclose(scores, np.array(by_hand), atol=1e-5)
    margins = torch.from_numpy(scores[:8] - scores[8:])
    loss = losses.simpo(margins, torch.ones(8), beta=2.0, gamma=1.0).mean()
    assert record["losses"] == pytest.approx([float(loss)], abs=1e-5)


def test_dropout_is_off_whatever_it_is_called():
    for config in FAMILIES.values():
        rates = checkpoints.without_dropout(type(config)()).to_dict()
        assert {name: r for name, r in rates.items() if "drop" in name and r} == {}
