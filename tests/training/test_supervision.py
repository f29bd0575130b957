"""What a student is trained on: mixtures with the helpful pairs, and confident labels alone."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.shared.trainings import SETTINGS, train, write_pairs
from workflow_scripts.core.errors import UserError
from workflow_scripts.data import pairs as data_pairs
from workflow_scripts.methods.conflicts.registry import CONFLICTS


def test_implicit_conflict_mixes_in_the_helpful_pairs_and_doubles_the_steps(base, pairs, tmp_path):
    helpful = write_pairs(tmp_path / "helpful.parquet", 34, seed=1)
    ids = pq.read_table(pairs)["id"].to_pylist()
    labels = tmp_path / "weak.parquet"
    pq.write_table(pa.table({"id": ids, "probability": [0.5] * 34, "label": [0] * 34}), labels)
    settings = SETTINGS["reward_model"] | {"conflict": {"kind": "implicit"}}
    more = ["--weak-labels", labels, "--helpful", helpful]
    record = train(tmp_path, base, pairs, settings, *more)
    assert (record["steps"], record["pairs"]) == (8, 68)
    with pytest.raises(UserError, match="--helpful"):
        train(tmp_path, base, pairs, settings, "--weak-labels", labels)


@pytest.mark.parametrize(
    ("kind", "mode", "per_epoch"),
    [
        ("implicit_matched", "fixed", 4),
        ("implicit_matched", "reference", 8),
        ("implicit", "reference", 8),
        ("none", "reference", 4),
    ],
)
def test_matched_mixture_takes_the_steps_of_the_labels_alone_or_all_mixtures_twice_as_many(
    kind, mode, per_epoch, base, pairs, tmp_path
):
    helpful = write_pairs(tmp_path / "helpful.parquet", 34, seed=1)
    settings = SETTINGS["reward_model"] | {"conflict": {"kind": kind}, "epochs": 2}
    settings |= {"compat": {"implicit_steps": mode}}
    record = train(tmp_path, base, pairs, settings, "--helpful", helpful)
    assert (record["steps"], record["pairs"]) == (2 * per_epoch, 34 if kind == "none" else 68)


@pytest.mark.parametrize(
    ("objective", "threshold", "kept"),
    [
        ("reward_model", 0.75, 17),  # as sure of a wrong answer as of a right one
        ("simpo", 0.75, 17),  # not the labels, which are 0 and 1
        ("reward_model", 0.5, 34),
    ],
)
def test_filter_keeps_confident_labels_and_as_many_helpful_pairs(
    objective, threshold, kept, base, pairs, tmp_path
):
    helpful = write_pairs(tmp_path / "helpful.parquet", 34, seed=1)
    ids = pq.read_table(pairs)["id"].to_pylist()
    probability = [0.75, 0.74, 0.25, 0.26] * 8 + [1.0, 0.5]
    labels = tmp_path / "weak.parquet"
    columns = {"id": ids, "probability": probability, "label": [int(p > 0.5) for p in probability]}
    pq.write_table(pa.table(columns), labels)
    settings = SETTINGS[objective] | {"conflict": {"kind": "implicit"}}
    settings |= {"student": {"name": "sure", "filter": threshold, "through": []}}
    record = train(tmp_path, base, pairs, settings, "--weak-labels", labels, "--helpful", helpful)
    assert record["pairs"] == 2 * kept
    if threshold > 0.5:
        settings["student"] |= {"filter": 0.9}
        settings["conflict"] = {"kind": "none"}
        with pytest.raises(UserError, match="1 pairs do not fill"):
            train(tmp_path, base, pairs, settings, "--weak-labels", labels)


def test_high_confidence_is_of_either_answer():
    probability = np.array([0.8, 0.75, 0.7, 0.5, 0.3, 0.25, 0.1])
    kept = data_pairs.high_confidence(probability, 0.75, peek=False)
    assert kept.tolist() == [True, True, False, False, False, True, True]


def test_an_ensemble_labels_by_its_mean_probability(pairs, tmp_path):
    read = data_pairs.read_pairs(str(pairs))
    of_model = {"sure": [0.9, 0.4, 0.9, 0.0], "unsure": [0.3, 0.4, 0.0, 0.6]}
    files = []
    for name, probability in of_model.items():
        columns = {"id": read.ids[:4], "probability": probability}
        columns["label"] = [int(p > 0.5) for p in probability]
        files.append(str(tmp_path / f"{name}.parquet"))
        pq.write_table(pa.table(columns), files[-1])
    few = read.at(np.arange(4))
    mean = [0.6, 0.4, 0.45, 0.3]
    assert data_pairs.with_weak_labels(few, files, soft=True).labels == pytest.approx(mean)
    hard = data_pairs.with_weak_labels(few, files, soft=False).labels
    assert hard.tolist() == [1, 0, 0, 0]
    sure = data_pairs.confident_rows(few, files, 0.6 - 1e-9, peek=False)
    assert sure.tolist() == [0, 1, 3]


def test_a_placebo_sees_the_labels_of_none_in_another_order(pairs):
    read = data_pairs.read_pairs(str(pairs))
    shown = CONFLICTS["placebo"](kind="placebo").data(read, None)
    assert shown.ids != read.ids
    assert sorted(shown.ids) == sorted(read.ids)
    assert dict(zip(shown.ids, shown.chosen, strict=True)) == dict(
        zip(read.ids, read.chosen, strict=True)
    )
    assert CONFLICTS["placebo"](kind="placebo").data(read, None).ids == shown.ids
