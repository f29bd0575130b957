"""Each compatibility switch changes what it says, and reruns what depends on it and no more."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from datasets import Dataset

from tests.shared.base_models import FAMILIES, save_base
from tests.shared.configuration import PAPER, loaded
from tests.shared.stages import run_stage
from tests.shared.trainings import COMMON, SETTINGS, margins, train, write_pairs
from tests.shared.workflows import ROOT
from workflow_scripts.config.matrix import Cell
from workflow_scripts.config.stage_settings import TrainSettings
from workflow_scripts.data.pairs import high_confidence, read_pairs
from workflow_scripts.methods import losses
from workflow_scripts.methods.compat import Compat
from workflow_scripts.methods.conflicts.explicit import Explicit
from workflow_scripts.methods.conflicts.mixture import Implicit
from workflow_scripts.methods.objectives import Preference
from workflow_scripts.methods.readout import Readout
from workflow_scripts.models import checkpoints
from workflow_scripts.models.scorer import PairScorer
from workflow_scripts.models.tokenise import TokenSequences
from workflow_scripts.reruns import slices
from workflow_scripts.runtime import device
from workflow_scripts.training import data_order
from workflow_scripts.training.supervision import supervised_pairs

SCENARIOS = ("reward_model", "simpo", "dpo")
CONFLICTS = ("none", "explicit", "implicit", "implicit_matched")
MIXTURES = {"implicit", "implicit_matched", "mixture", "matched_mixture"}
MARGIN = {"bos_in_response", "dpo_weak_labels"}


def every_slice(compat):
    """Return the slice of each stage, by its name, under the paper's configuration."""
    students = [{"name": "direct"}, {"name": "high_confidence", "filter": 0.75}]
    matrix = PAPER["matrix"] | {"students": students}
    config = loaded(PAPER | {"compat": compat, "matrix": matrix})
    cell = ("gpt2", "gpt2-xl")
    by_stage: dict[tuple[str, ...], str] = {
        ("prepare_data",): slices.prepare_data(config, "harmlessness"),
        ("base_model",): slices.base_model(config, "gpt2"),
        ("sft",): slices.sft(config, "harmlessness", "gpt2", "0"),
        ("reference",): slices.reference(config),
    }
    for scenario in SCENARIOS:
        place = ("harmlessness", scenario)
        by_stage |= {
            ("ground_truth", scenario): slices.ground_truth(config, *place, "gpt2", "0"),
            ("weak_labels", scenario): slices.weak_labels(config, scenario),
            ("predictions", scenario): slices.readout(config, scenario),
        }
        for student, variant in (("direct", ""), ("high_confidence", "/high_confidence")):
            for supervision in ("labels", "mixture", "matched_mixture"):
                sft = (*place, *cell, supervision, variant, "0")
                name = ("student_sft", scenario, supervision, student)
                by_stage[name] = slices.student_sft(config, *sft)
            for conflict in CONFLICTS:
                of = Cell(*place, *cell, conflict, variant, 0)
                name = (scenario, conflict, student)
                by_stage["student", *name] = slices.weak_to_strong(config, of)
                by_stage["probe", *name] = slices.probe(config, of)
    return by_stage


@pytest.mark.parametrize(
    ("switch", "depends"),
    [
        ("reward_pooling", lambda s: "reward_model" in s and "student_sft" not in s),
        ("dpo_weak_labels", lambda s: "dpo" in s and "ground_truth" not in s),
        ("explicit_trigger", lambda s: {"dpo", "explicit"} <= set(s)),
        (
            "bos_in_response",
            lambda s: bool({"sft", "reference", "student_sft", "simpo", "dpo"} & set(s)),
        ),
        ("filter_peek", lambda s: "high_confidence" in s),
        ("implicit_steps", lambda s: bool({"implicit_matched", "matched_mixture"} & set(s))),
        ("filter_scale", lambda s: {"dpo", "high_confidence"} <= set(s)),
        ("filter_helpful", lambda s: "high_confidence" in s and bool(MIXTURES & set(s))),
        (
            "head_init",
            lambda s: "reward_model" in s and bool({"ground_truth", "student", "probe"} & set(s)),
        ),
        ("sft_divisor", lambda s: bool({"sft", "student_sft"} & set(s))),
        ("precision", lambda s: not {"prepare_data", "base_model"} & set(s)),
    ],
)
def test_a_switch_is_in_the_settings_of_what_depends_on_it_and_of_nothing_else(switch, depends):
    fixed, reference = every_slice({}), every_slice({switch: "reference"})
    assert {s for s in fixed if fixed[s] != reference[s]} == {s for s in fixed if depends(s)}
    for stage in filter(depends, fixed):
        before, after = json.loads(fixed[stage]), json.loads(reference[stage])
        assert before["compat"].pop(switch, "fixed") == "fixed"
        assert after["compat"].pop(switch) == "reference"
        assert before == after


def test_screening_is_in_the_settings_of_the_data_alone():
    fixed, reference = every_slice({}), every_slice({"screening": "reference"})
    assert {s for s in fixed if fixed[s] != reference[s]} == {("prepare_data",)}
    before, after = (json.loads(of["prepare_data",]) for of in (fixed, reference))
    assert after == before | {"unscreened": True}


def test_products_are_in_float32_on_request_on_a_gpu_with_bfloat16(tmp_path, monkeypatch):
    """On the CPU, which is told that it has bfloat16."""
    base, pairs = save_base(tmp_path / "base", FAMILIES["gpt2"]), tmp_path / "weak.parquet"
    write_pairs(pairs, 16)

    def trained(name, compat):
        settings = COMMON | SETTINGS["simpo"] | {"compat": compat}
        losses = train(tmp_path / name, base, pairs, settings)["losses"]
        readout = {"objective": "simpo", "max_length": COMMON["max_length"], "compat": compat}
        run_stage(
            *("predict", "--settings", json.dumps(readout), "--pairs", pairs),
            *("--model", tmp_path / name / "checkpoint", "--micro-batch", 8, "--threads", 1),
            *("--output", tmp_path / name / "predictions.parquet"),
        )
        return losses, margins(tmp_path / name / "predictions.parquet")

    exact = trained("cpu", {})
    monkeypatch.setattr(device, "has_bfloat16", lambda: True)
    rounded, asked = trained("bfloat16", {}), trained("float32", {"precision": "reference"})
    for of_exact, of_rounded, of_asked in zip(exact, rounded, asked, strict=True):
        assert np.array_equal(of_asked, of_exact)
        assert 0 < np.abs(np.subtract(of_rounded, of_exact)).max() < 0.1
    # Float32 is float32: `plan` reckons with a GPU's speed in that, and not in TF32.
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cuda.matmul.allow_tf32


def test_everything_is_fixed_unless_said_otherwise():
    assert set(loaded(PAPER).compat.model_dump().values()) == {"fixed"}
    assert loaded(PAPER).compat == Compat()


def test_the_authors_profile_says_reference_of_everything():
    overlay = yaml.safe_load((ROOT / "profiles/authors/experiment.yaml").read_text())
    assert overlay["compat"] == dict.fromkeys(Compat.model_fields, "reference")
    assert overlay["training"] == {"data_order": "shuffled_once"}


def test_rewards_are_read_at_the_last_token_or_at_the_count_of_nonzero_ones(tmp_path):
    model = checkpoints.load_base(save_base(tmp_path / "base", FAMILIES["gpt2"]), Readout.REWARD)
    torch.nn.init.normal_(model.get_parameter("score.weight"))

    def rewards(readout, *texts, start=1):
        lengths = np.array([len(text) for text in texts])
        begins = np.cumsum(lengths) - lengths
        # Where responses begin, on which no reward depends: texts with a prompt share it.
        starts = np.full(len(texts), start)
        sequences = TokenSequences(np.concatenate(texts), begins, lengths, starts)
        with torch.inference_mode():
            return PairScorer(model, readout)(**sequences.padded(np.arange(len(texts))[None]))

    three_not_zero, none_zero = [5, 0, 7, 0, 9], [5, 6, 7]
    fixed = rewards(Readout.REWARD, three_not_zero, none_zero)
    reference = rewards(Readout.REWARD_AT_NONZERO_COUNT, three_not_zero, none_zero)
    third_token = rewards(Readout.REWARD, [5, 0, 7])
    torch.testing.assert_close(reference[:1], third_token)
    torch.testing.assert_close(reference[1], fixed[1])
    assert abs(reference[0] - fixed[0]) > 0.01
    for prompt, chosen in (([5, 0, 7], [0, 9]), ([5, 0, 0], [0, 0])):
        texts = [prompt + chosen, [*prompt, 6]]
        alone = torch.cat([rewards(Readout.REWARD_AT_NONZERO_COUNT, text) for text in texts])
        together = rewards(Readout.REWARD_AT_NONZERO_COUNT, *texts, start=3)
        torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("stage", ["weak_labels", "predict"])
def test_dpo_margins_are_relative_to_the_reference_model_or_the_policys_alone(stage, tmp_path):
    base = save_base(tmp_path / "base", FAMILIES["gpt2"])
    pairs = write_pairs(tmp_path / "pairs.parquet", 12)
    ids = pq.read_table(pairs)["id"].to_pylist()
    shift = np.linspace(-9, 9, 12)
    frozen = pa.table({"id": ids, "chosen": shift - 40, "rejected": np.full(12, -40.0)})
    pq.write_table(frozen, tmp_path / "reference.parquet")

    def scored(compat, *more):
        given = {"objective": "dpo", "max_length": 48, "compat": compat}
        if stage == "weak_labels":
            given["beta"] = 0.1
        output = tmp_path / "scored.parquet"
        run_stage(
            stage,
            *("--settings", json.dumps(given), "--model", base, "--pairs", pairs),
            *("--micro-batch", 4, "--threads", 1, "--output", output, *more),
        )
        return margins(output), pq.read_table(output).to_pydict()

    relative, labels = scored({}, "--reference", tmp_path / "reference.parquet")
    alone, of_policy = scored({"dpo_weak_labels": "reference"})
    np.testing.assert_allclose(alone - relative, shift, atol=1e-9)
    assert (np.sign(alone) != np.sign(relative)).any()
    if stage == "weak_labels":
        for z, written in ((relative, labels), (alone, of_policy)):
            assert written["label"] == (z > 0).astype(int).tolist()
            np.testing.assert_allclose(written["probability"], 1 / (1 + np.exp(-0.1 * z)))


@pytest.mark.parametrize(
    ("without_reference", "paid"), [(False, [0, 1, 0, 1]), (True, [0, 1, 1, 0])]
)
def test_the_explicit_trigger_in_dpo_sees_the_reference_model_or_not(without_reference, paid):
    of_policy = torch.tensor([2.0, -2.0, -2.0, 2.0])
    of_reference = torch.tensor([1.0, -1.0, -3.0, 3.0])
    label = torch.tensor([1.0, 1.0, 0.0, 0.0])
    objective = Preference(
        lambda z, p: losses.dpo(z, p, beta=0.1),
        Explicit(alpha=0.5),
        trigger_without_reference=without_reference,
    )
    scores = torch.cat([of_policy, torch.zeros(4)])
    loss, margin = objective(scores, label, of_reference)
    z = np.array([1.0, -1.0, 1.0, -1.0])  # the loss's margin, whatever the trigger sees
    assert margin is not None
    assert margin.tolist() == z.tolist()
    supervised = np.logaddexp(0, -0.1 * z * [1, 1, -1, -1])
    reversed_truth = np.logaddexp(0, 0.1 * z)
    np.testing.assert_allclose(loss, supervised + 0.5 * reversed_truth * paid, rtol=1e-6)


@pytest.mark.parametrize(
    ("peek", "kept"),
    [(False, [True, True, False, False, True]), (True, [True, True] + [False] * 3)],
)
def test_the_high_confidence_filter_drops_wrong_labels_only_where_it_peeks(peek, kept):
    probability = np.array([0.9, 0.75, 0.74, 0.26, 0.25])
    assert high_confidence(probability, 0.75, peek=peek).tolist() == kept


def test_file_order_is_the_files_own_and_epochs_follow_without_a_gap():
    lengths = np.array([9, 8, 7, 6, 5])
    order = data_order.as_in_file(lengths, batch_size=2, epochs=2)
    assert [set(batch) for batch in order] == [{0, 1}, {2, 3}, {4, 0}, {1, 2}, {3, 4}]
    assert order[0].tolist() == [1, 0]  # by length inside a batch, for less padding
    # Three whole batches in seven pairs: the last pair is left out.
    assert data_order.as_in_file(np.ones(7, np.int64), batch_size=2, epochs=1).max() == 5
    # Shuffled epochs have batches of their own: two of two pairs each time.
    assert data_order.shuffled(lengths, batch_size=2, epochs=2, seed="a").shape == (4, 2)


def test_shuffled_once_is_the_order_of_the_datasets_library_in_every_epoch():
    theirs = Dataset.from_dict({"row": range(10)}).shuffle(seed=3)["row"]
    order = data_order.ordered(
        "shuffled_once", np.ones(10, np.int64), batch_size=4, epochs=2, seed="sft/a/seed3"
    )
    assert order.ravel().tolist() == [*theirs, *theirs]


@pytest.mark.parametrize(
    ("compat", "kept", "helpful"),
    [
        ({}, [0, 3], [0, 1]),
        ({"filter_scale": "reference"}, [0, 2], [0, 1]),
        ({"filter_helpful": "reference"}, [0, 3], [0, 3]),
    ],
)
def test_the_filter_follows_the_authors_in_scale_and_in_its_helpful_pairs(
    compat, kept, helpful, tmp_path
):
    weak = write_pairs(tmp_path / "weak.parquet", 4)
    others = write_pairs(tmp_path / "helpful.parquet", 4, seed=1)
    ids = pq.read_table(weak)["id"].to_pylist()
    columns = {"margin": [90.0, 10.0, 60.0, 54.0], "probability": [0.9, 0.6, 0.7, 0.8]}
    labels = tmp_path / "labels.parquet"
    pq.write_table(pa.table({"id": ids, "label": [1] * 4} | columns), labels)
    given = COMMON | SETTINGS["dpo"] | {"compat": compat, "conflict": {"kind": "implicit"}}
    given |= {"student": {"name": "sure", "filter": 0.755, "through": []}}
    settings = TrainSettings.parsed(json.dumps(given))
    assert settings.conflict is not None
    mixed, _ = supervised_pairs(
        settings, settings.conflict, pairs=str(weak), weak_labels=[str(labels)], helpful=str(others)
    )
    of_helpful = pq.read_table(others)["id"].to_pylist()
    assert set(mixed.ids) == {*(ids[row] for row in kept), *(of_helpful[row] for row in helpful)}


def test_a_reward_head_is_drawn_as_by_the_model_or_as_torchs_linear_does(tmp_path):
    model = checkpoints.load_base(save_base(tmp_path / "base", FAMILIES["gpt2"]), Readout.REWARD)
    checkpoints.redraw_head(model)
    head = model.get_parameter("score.weight").detach()
    bound = head.shape[1] ** -0.5
    assert 0.8 * bound < head.abs().max() <= bound
    assert head.std() == pytest.approx(bound / 3**0.5, rel=0.4)


def test_helpful_pairs_are_spread_evenly_over_the_labelled_ones(tmp_path):
    weak = read_pairs(str(write_pairs(tmp_path / "weak.parquet", 2)))
    helpful = read_pairs(str(write_pairs(tmp_path / "helpful.parquet", 4)))
    mixed = Implicit().data(weak, helpful).interleaved(2)
    assert [id_.split("-")[0][0] for id_ in mixed.ids] == list("hwhhwh")
    assert mixed.prompts[:2] == [helpful.prompts[0], weak.prompts[0]]
