"""Variants of students and matched mixtures, in the DAG that real Snakemake makes and runs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.shared import joblog
from tests.shared.warm_process import Warm
from tests.shared.workflows import snakemake

pytestmark = pytest.mark.slow

FILES = ("profiles/demo/experiment.yaml", "tests/tiny.yaml", "tests/variants.yaml")
CELL = "results/weak_to_strong/substances/{scenario}/small/strong"


def jobs(folder: Path, *config: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each job of a dry run: its first output and its inputs."""
    for job in joblog.run(folder, "-n", "--configfile", *FILES, *config).jobs:
        yield job.outputs[0], set(job.inputs)


def test_a_chain_passes_the_supervision_on(tmp_path: Path):
    inputs = dict(
        jobs(
            tmp_path,
            "--config",
            "matrix={scenarios: [dpo], conflicts: [none, implicit], students: "
            "[{name: direct}, {name: long, through: [middle, large]}]}",
            "models={large: {pretrain: {corpus: encyclopedia, steps: 4, batch_size: 32, "
            "sequence_length: 48, learning_rate: 0.005, "
            "architecture: {width: 16, layers: 1, heads: 2, context: 64}}}}",
        )
    )
    data = "results/data/substances"
    place = "substances/dpo/small"
    weak_labels = "results/weak_labels/substances/dpo/small/seed0.parquet"
    # Student, its folder below weak/, the labels it learns from, the set, the file it labels.
    of_middle = f"results/student_labels/{place}/middle/seed0.parquet"
    of_large = f"results/student_labels/{place}/large/via_middle/seed0.parquet"
    for folder, labels, of_set, labelled, next_set in (
        ("middle/none", weak_labels, "weak", of_middle, "gt"),
        ("large/none/via_middle", of_middle, "gt", of_large, "weak"),
        ("strong/none/long", of_large, "weak", None, None),
        ("strong/implicit/long", of_large, "weak", None, None),
        ("strong/none", weak_labels, "weak", None, None),
    ):
        trained = f"results/weak_to_strong/{place}/{folder}/seed0/checkpoint"
        supervision = "mixture" if "implicit" in folder else "labels"
        sft = re.sub("none|implicit", supervision, f"results/student_sft/{place}/{folder}/seed0")
        helpful = {f"{data}/helpful.parquet"} if supervision == "mixture" else set()
        learned_from = {labels, f"{data}/{of_set}.parquet", *helpful}
        assert inputs[f"{sft}/checkpoint"] == learned_from | {
            f"results/models/{folder.split('/')[0]}"
        }
        assert inputs[trained] == learned_from | {f"{sft}/checkpoint", f"{sft}/reference.parquet"}
        if labelled:
            reference = f"{sft}/labelling_reference.parquet"
            assert inputs[labelled] == {trained, f"{data}/{next_set}.parquet", reference}
            assert f"{data}/{next_set}.parquet" in inputs[reference]
    probe = inputs[f"results/probes/{place}/strong/implicit/long/seed0.json"]
    assert {path for path in probe if "weak_to_strong" in path} == {
        f"results/weak_to_strong/{place}/strong/{conflict}/long/seed0/predictions.parquet"
        for conflict in ("none", "implicit")
    }


def test_an_ensemble_learns_from_several_weak_models_and_a_refined_student_from_itself(
    tmp_path: Path,
):
    inputs = dict(
        jobs(
            tmp_path,
            "--config",
            "matrix={scenarios: [reward_model], conflicts: [none, implicit], students: "
            "[{name: direct}, {name: voting, kind: ensemble, seeds: [0, 1], models: [middle]}, "
            "{name: again, kind: refined}]}",
        )
    )
    weak = "results/weak_labels/substances/reward_model"
    own = "results/student_labels/substances/reward_model/small/strong/seed0.parquet"
    of_student = {
        "none": {f"{weak}/small/seed0.parquet"},
        "none/voting": {
            f"{weak}/{model}/seed{seed}.parquet" for model in ("small", "middle") for seed in (0, 1)
        },
        "none/again": {own},
        "implicit/again": {own},
    }
    cell = CELL.format(scenario="reward_model")
    for folder, labels in of_student.items():
        learned_from = inputs[f"{cell}/{folder}/seed0/checkpoint"]
        assert {path for path in learned_from if "labels" in path} == labels
        of_set = "gt" if "again" in folder else "weak"
        assert f"results/data/substances/{of_set}.parquet" in learned_from
    assert inputs[own] == {
        f"{cell}/none/seed0/checkpoint",
        "results/data/substances/gt.parquet",
    }


def test_variants_share_the_intermediate_with_its_own_cell(tmp_path: Path):
    alone = {output for output, _ in jobs(tmp_path)}
    with_cell = {
        output
        for output, _ in jobs(
            tmp_path, "--config", "matrix={pairs: [[small, strong], [small, middle]]}"
        )
    }
    intermediate = "results/weak_to_strong/substances/dpo/small/middle/none/seed0/checkpoint"
    assert intermediate in alone
    assert alone < with_cell
    assert not any("/middle/none/via_middle/" in output for output in with_cell)


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory, warm_process: Warm) -> Path:
    """Return the results of a run with every kind of student."""
    folder = tmp_path_factory.mktemp("variants")
    given = ("--profile", "profiles/demo", "--configfile", *FILES)
    ran = snakemake(folder, *given, environment=warm_process.variable)
    assert ran.returncode == 0, ran.stderr[-4000:]
    return folder


@pytest.mark.xdist_group("variants")
@pytest.mark.parametrize("scenario", ["reward_model", "dpo"])
def test_variants_are_trained_on_what_they_say(variants: Path, scenario: str):
    folder = variants / CELL.format(scenario=scenario)
    records = {
        (conflict, student): json.loads(
            (folder / conflict / student / "seed0/train.json").read_text()
        )
        for conflict in ("none", "implicit", "implicit_matched")
        for student in ("", "high_confidence", "via_middle")
    }
    labels = f"results/weak_labels/substances/{scenario}/small/seed0.parquet"
    probability = pq.read_table(variants / labels)["probability"].to_pylist()
    confident = sum(max(p, 1 - p) >= 0.505 for p in probability)
    assert 32 <= confident < 64
    for student, pairs in (("", 64), ("high_confidence", confident), ("via_middle", 64)):
        of_student = {c: records[c, student] for c in ("none", "implicit", "implicit_matched")}
        assert [r["pairs"] for r in of_student.values()] == [pairs, 2 * pairs, 2 * pairs]
        steps = {conflict: record["steps"] for conflict, record in of_student.items()}
        assert steps["implicit_matched"] == steps["none"] == 3 * (pairs // 32)
        assert steps["implicit"] == 3 * (2 * pairs // 32)
    assert "student" not in records["none", ""]["settings"]
    assert records["none", "via_middle"]["settings"]["student"]["through"] == ["middle"]

    handed_on = f"results/student_labels/substances/{scenario}/small/middle/seed0.parquet"
    ids = {
        name: pq.read_table(variants / path)["id"].to_pylist()
        for name, path in (("labels", handed_on), ("gt", "results/data/substances/gt.parquet"))
    }
    assert ids["labels"] == ids["gt"]


@pytest.mark.xdist_group("variants")
def test_the_report_has_a_row_for_every_student(variants: Path):
    cells = pq.read_table(variants / "results/report/cells.parquet").to_pylist()
    assert len(cells) == 2 * 3 * 3  # scenarios, conflicts, students
    assert [row["student"] for row in cells[:3]] == ["direct", "high_confidence", "via_middle"]
    assert all(row["conflict_tax_count"] == 0 for row in cells if row["conflict"] == "none")


@pytest.mark.xdist_group("variants")
def test_adding_a_variant_reruns_nothing_that_stands(variants: Path):
    added = {
        output
        for output, _ in jobs(
            variants,
            "--config",
            "matrix={students: [{name: direct}, {name: high_confidence, filter: 0.505}, "
            "{name: via_middle, through: [middle]}, {name: surer, filter: 0.51}]}",
        )
    }
    others = {output for output in added if "/surer/" not in output}
    assert "results/report/cells.csv" in others
    assert all(output.startswith("results/report/") for output in others)
