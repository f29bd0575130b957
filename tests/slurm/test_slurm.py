"""The workflow on a real Slurm, as an admin would run it: placement, readouts, faults.

Two runs of Snakemake carry all tests: the whole DAG, and then a few long trainings that are hit by
every kind of fault at once.
"""

import re

import pytest
from clone import Clone

LARGE = "results/ground_truth/substances/reward_model/large/seed0"
NOTHING = "Nothing to be done"


@pytest.fixture(scope="module")
def whole(clone: Clone) -> Clone:
    """Return the clone after the whole DAG has run."""
    ran = clone.run("all", f"{LARGE}/predictions.parquet")
    assert ran.returncode == 0, ran.stderr[-6000:]
    return clone


def jobs_of(clone: Clone, name: str) -> list[dict[str, str]]:
    """Return what Slurm accounts of the jobs whose comment names these rules and wildcards."""
    fields = ("JobID", "Comment", "Partition", "AllocTRES", "State", "ReqMem", "Timelimit")
    jobs = clone.slurm.accounts(*fields, duplicates=True)
    return [job for job in jobs if re.search(name, job["Comment"])]


def test_preflight_says_what_is_there_and_what_is_not(clone: Clone):
    ran = clone.run("preflight")
    assert re.search(r"✓ +partition a800 +a node has 8 x a800", ran.stdout)
    assert re.search(r"✓ +1 x a40 +a40, for middle, small", ran.stdout)
    assert re.search(r"✓ +account +none named; Slurm charges one of research", ran.stdout)
    assert re.search(r"✓ +node of a40 +\S+ writes to ", ran.stdout)
    assert re.search(r"✓ +data of substances +world substances is generated here", ran.stdout)
    # Files are no GPUs, and it doesn't pretend.
    assert re.search(r"✗ +node of a40 +torch sees no GPU where Slurm gave one a40; ", ran.stdout)
    assert ran.returncode != 0


def test_plan_counts_what_would_run(clone: Clone):
    ran = clone.run("plan")
    assert ran.returncode == 0, ran.stderr[-4000:]
    # Pretraining, SFT and ground truth; and of `middle` two students with an SFT each.
    assert re.search(r"small +│ 1 x a40 +│ a40 +│ +3 │", ran.stdout)
    assert re.search(r"middle +│ 1 x a40 +│ a40 +│ +7 │", ran.stdout)
    assert "Slurm jobs: 10." in ran.stdout


def test_the_whole_dag_runs_and_nothing_is_left_to_do(whole: Clone):
    assert (whole.folder / "results/report/index.html").exists()
    assert NOTHING in whole.run("-n").stdout
    assert not list(whole.folder.glob("results/.state/**/progress.json"))


def test_readouts_run_in_the_job_of_their_training(whole: Clone):
    trainings = list(whole.folder.glob("results/**/train.json"))
    jobs = jobs_of(whole, "rule_")
    assert len(jobs) == len(trainings) == 11
    assert {job["State"] for job in jobs} == {"COMPLETED"}


def test_jobs_land_on_the_gpus_that_their_models_ask_for(whole: Clone):
    assert (whole.folder / f"{LARGE}/predictions.parquet").exists()
    [large] = [job for job in jobs_of(whole, "rule_") if job["Partition"] == "a800"]
    assert "gres/gpu:a800=8" in large["AllocTRES"]
    tasks = whole.slurm.run("sacct", "-nP", "-j", large["JobID"], "-o", "NTasks").split()
    assert "8" in tasks  # ranks, in a step of their own
    others = [job for job in jobs_of(whole, "rule_") if job is not large]
    assert all(job["Partition"] == "a40" for job in others)
    assert all("gres/gpu:a40=1," in job["AllocTRES"] for job in others)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("profiles/slurm/partitions.yaml", "  a40: #", "  gpu-short: #"),
        ("profiles/slurm/partitions.yaml", "max_runtime: 2d", "max_runtime: 4h"),
        ("profiles/slurm/config.yaml", "mem_mb: 8000", "mem_mb: 16000"),
        ("config.yaml", "a800: {memory_gb: 80", "a800: {memory_gb: 40"),
        ("tests/slurm/experiment.yaml", "gpu_model: a40, gpus: 1", "gpu_model: a800, gpus: 2"),
        ("profiles/demo/experiment.yaml", "threads: 1", "threads: 2"),
    ],
)
def test_the_cluster_settings_rerun_nothing(whole: Clone, file: str, old: str, new: str):
    path = whole.folder / file
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new))
    try:
        assert NOTHING in whole.run("-n").stdout
    finally:
        path.write_text(before)
