"""What a run would ask a cluster for, found out without one (tests/slurm has a real one)."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shared.workflows import ROOT, snakemake
from workflow_scripts.cluster import plan, work
from workflow_scripts.cluster.partitions import partition_for, read_partitions
from workflow_scripts.config import experiment, matrix
from workflow_scripts.config.layers import read_layers
from workflow_scripts.core.errors import UserError

PAPER = ("--profile", "slurm")
VARIANTS = (*PAPER, "--configfile", "profiles/demo/experiment.yaml", "tests/variants.yaml")
LOCAL = {
    *("small_world", "prepare_data", "fetch_model", "local_model", "tokenizer"),
    *("names_of_files", "probe", "cells", "tables", "figures", "page", "all"),
}


def slurm_jobs(said: str) -> Iterator[list[str]]:
    """Yield the rules of each Slurm job of a dry run: those of a group, or one by itself."""
    group: list[str] = []
    for line in said.splitlines():
        if "] Group job " in line:
            group = []
            yield group
        elif found := re.fullmatch(r"( *)(?:local)?rule (\w+):", line):
            indent, rule = found.groups()
            if indent:
                group.append(rule)
            elif rule not in LOCAL:
                yield [rule]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [PAPER, VARIANTS], ids=["paper", "variants"])
def test_there_are_as_many_slurm_jobs_as_trainings(tmp_path: Path, arguments: tuple[str, ...]):
    dry = snakemake(tmp_path, *arguments, "-n")
    assert dry.returncode == 0, dry.stderr[-4000:]
    jobs = list(slurm_jobs(dry.stdout))
    trainings = {"pretrain", "sft", "ground_truth", "student_sft", "weak_to_strong"}
    assert [len(trainings & set(job)) for job in jobs] == [1] * len(jobs)
    assert len(jobs) > 30
    # `group-components` adds nodes up: two jobs of one rank would ask for two.
    resources = re.findall(r"^ +resources: (.*)$", dry.stdout, re.MULTILINE)
    assert all("mpi=srun" in one for one in resources if "nodes=" in one)


def paper() -> experiment.Config:
    return experiment.load(read_layers([ROOT / "config.yaml"], {}))


@pytest.mark.slow
def test_plan_counts_the_papers_trainings_once_though_cells_share_them(tmp_path: Path):
    ran = snakemake(tmp_path, "--cores", "1", "plan")
    assert ran.returncode == 0, ran.stderr[-4000:]
    assert re.search(r"mistral-7b +│ \d x a800 +│", ran.stdout)
    assert re.search(r"all +│ +│ +│ +301 │", ran.stdout)
    # Two ceilings and a student a cell, each with its SFT but for reward models.
    assert 63 * 3 + 126 * 6 == 945
    assert "945 trainings" in ran.stdout


def test_every_training_of_a_cell_is_among_those_that_are_counted():
    config = paper()
    folders = {f for cell in matrix.cells(config) for f in work.trainings_of(config, cell)}
    found = [work.of(config, f"{folder}/train.json") for folder in folders]
    assert len(found) == 301
    assert all(one is not None and one.trains for one in found)


def test_records_of_finished_trainings_replace_the_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    config = paper()
    done, next_ = (
        f"results/ground_truth/harmlessness/reward_model/gpt2/seed{seed}/train.json"
        for seed in (0, 1)
    )
    other = next_.replace("reward_model", "dpo")
    Path(done).parent.mkdir(parents=True)
    Path(done).write_text(json.dumps({"seconds": 1800, "ranks": 2}))
    found = plan.planned(config, {done: False, next_: True, other: True})
    assert found.finished == 1
    assert plan.gpu_hours(found.works[:1]) == pytest.approx(1.0)
    assert plan.gpu_hours(found.works[1:]) == pytest.approx(3.0)  # three epochs
    assert found.bytes == 2 * 4 * 124_439_808


def test_preflight_without_a_cluster_says_how_to_run_it(tmp_path: Path):
    ran = snakemake(tmp_path, "preflight")
    assert ran.returncode != 0
    assert "run `snakemake --profile slurm preflight`" in ran.stderr + ran.stdout


def test_partitions_are_found_by_gpu_model_and_number(tmp_path: Path):
    partitions = read_partitions(str(ROOT / "profiles/slurm/partitions.yaml"))
    names = {
        asked: getattr(partition_for(partitions, *asked), "name", None)
        for asked in [
            ("a40", 4),
            ("a40", 5),
            ("a40", 4, 2),
            ("a800", 8),
            ("a800", 16, 2),
            ("h100", 1),
        ]
    }
    assert names == {
        **{("a40", 4): "a40", ("a800", 8): "a800", ("a800", 16, 2): "a800"},
        **dict.fromkeys([("a40", 5), ("a40", 4, 2), ("h100", 1)]),
    }
    (tmp_path / "other.yaml").write_text("a40: {}")
    with pytest.raises(UserError, match=r"other.yaml: no `partitions`"):
        read_partitions(str(tmp_path / "other.yaml"))
