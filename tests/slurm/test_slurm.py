"""The workflow on a real Slurm, as an admin would run it: placement, readouts, faults.

A few runs of Snakemake carry all tests: the whole DAG, and then some long trainings that are hit
by every kind of fault.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.shared.warm_process import Warm
from tests.shared.workflows import NOTHING
from tests.slurm import clones, cluster
from tests.slurm.clones import CONFIGURATION, Clone

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]

LARGE = "results/ground_truth/substances/reward_model/large/seed0"


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    """Return a cluster with an ``a40`` and an ``a800`` partition that runs until the tests end."""
    if reason := cluster.missing():
        pytest.skip(f"a real Slurm {reason}")
    with cluster.started(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(scope="module")
def clone(slurm: cluster.Cluster, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Return the project as in a fresh clone."""
    return clones.made(tmp_path_factory.mktemp("clone") / "project", slurm)


@pytest.fixture(scope="module")
def whole(clone: Clone) -> Clone:
    """Return the clone after the whole DAG has run, two ceilings' SFTs in a job of their own."""
    with clones.warm_jobs(clone) as variables:
        targets = ("all", f"{LARGE}/predictions.parquet")
        ran = clone.run("--group-components", "sft=2", "--", *targets, variables=variables)
    assert ran.returncode == 0, ran.stderr[-6000:]
    return clone


def jobs_of(clone: Clone, name: str) -> list[dict[str, str]]:
    """Return what Slurm accounts of the jobs whose comment names these rules and wildcards."""
    fields = ("JobID", "Comment", "Partition", "AllocTRES", "State", "ReqMem", "Timelimit")
    jobs = clone.slurm.accounts(*fields, duplicates=True)
    return [job for job in jobs if re.search(name, job["Comment"])]


def jobs_of_whole(clone: Clone) -> list[dict[str, str]]:
    """Return the jobs of the whole DAG: all but those that a test before it has cancelled."""
    jobs = jobs_of(clone, "rule_|group_")
    return [job for job in jobs if not job["State"].startswith("CANCELLED")]


def test_preflight_says_what_is_there_and_what_is_not(clone: Clone):
    ran = clone.run("preflight")
    assert re.search(r"✓ +partition a800 +a node has 8 x a800", ran.stdout)
    assert re.search(r"✓ +1 x a40 +a40, for middle, small", ran.stdout)
    assert re.search(r"✓ +account +none named; Slurm charges one of research", ran.stdout)
    assert re.search(r"✓ +node of a40 +\S+ writes to ", ran.stdout)
    assert re.search(r"✓ +data of substances +world substances is generated here", ran.stdout)
    assert ran.stdout.count("partition a40") == 1  # no use in trying again
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


def test_each_of_two_nodes_gives_half_of_the_gpus(clone: Clone):
    two_nodes = ("tests/slurm/two_nodes.yaml",)
    running = launched(clone, "--", "results/models/small", configuration=two_nodes)
    try:
        wait_for(running, lambda: bool(jobs_on(clone, "a800", "pretrain")))
        [job] = jobs_on(clone, "a800", "pretrain")
        shown = clone.slurm.run("scontrol", "show", "job", "--detail", job)
    finally:
        os.killpg(running.pid, signal.SIGINT)
        running.communicate(timeout=120)
    wait_for(None, lambda: not clone.slurm.run("squeue", "-h"))
    # Nodes with the same are on one line.
    assert re.findall(r" Nodes=(\S+) .*GRES=gpu:a800:(\d+)", shown) == [("a800,a800-2", "4")]


def test_the_whole_dag_runs_and_nothing_is_left_to_do(whole: Clone):
    assert (whole.folder / "results/report/index.html").exists()
    assert NOTHING in whole.run("-n").stdout
    assert not list(whole.folder.glob("results/.state/**/progress.json"))


def test_readouts_run_in_the_job_of_their_training(whole: Clone):
    trainings = list(whole.folder.glob("results/**/train.json"))
    jobs = jobs_of_whole(whole)
    assert len(trainings) == 11
    assert len(jobs) == 10  # two of them share one
    assert {job["State"] for job in jobs} == {"COMPLETED"}


def test_jobs_land_on_the_gpus_that_their_models_ask_for(whole: Clone):
    assert (whole.folder / f"{LARGE}/predictions.parquet").exists()
    jobs = jobs_of_whole(whole)
    asked = [re.search(r"gres/gpu:(\w+)=(\d+)", job["AllocTRES"]) for job in jobs]
    gpus = Counter((found[1], int(found[2])) for found in asked if found)
    # In a job that trainings share each has a GPU of its own.
    assert gpus == {("a40", 1): 8, ("a40", 2): 1, ("a800", 8): 1}
    assert all(f"gres/gpu:{job['Partition']}=" in job["AllocTRES"] for job in jobs)
    [large] = [job for job in jobs if job["Partition"] == "a800"]
    steps = whole.slurm.run("sacct", "-nP", "-j", large["JobID"], "-o", "NTasks,NNodes").split()
    assert "8|2" in steps  # ranks, in a step of their own on both nodes


def test_no_setting_of_the_cluster_reruns_anything(whole: Clone):
    edits = [
        ("profiles/slurm/partitions.yaml", "  a40: #", "  gpu-short: #"),
        ("profiles/slurm/partitions.yaml", "max_runtime: 2d", "max_runtime: 4h"),
        ("profiles/slurm/config.yaml", "mem_mb: 8000", "mem_mb: 16000"),
        ("config.yaml", "a800: {memory_gb: 80", "a800: {memory_gb: 40"),
        ("tests/slurm/experiment.yaml", "gpu_model: a40, gpus: 1", "gpu_model: a800, gpus: 2"),
        ("profiles/demo/experiment.yaml", "threads: 1", "threads: 2"),
    ]
    kept = {file: (whole.folder / file).read_text() for file, _, _ in edits}
    for file, old, new in edits:
        text = (whole.folder / file).read_text()
        assert old in text
        (whole.folder / file).write_text(text.replace(old, new))
    try:
        assert NOTHING in whole.run("-n").stdout
    finally:
        for file, text in kept.items():
            (whole.folder / file).write_text(text)


STRANDED = "results/ground_truth/substances/reward_model/middle/seed1"  # two ranks on a800
REQUEUED = "results/ground_truth/substances/reward_model/small/seed1"
SPARE = "results/models/spare"
FIRST = (f"{STRANDED}/train.json",)
TARGETS = (f"{REQUEUED}/train.json", SPARE)
STORM = ("tests/slurm/storm.yaml",)


@dataclass(frozen=True)
class Storm:
    """What was seen of a run in which everything went wrong.

    Attributes:
        clone: where it ran.
        interrupted: the exit status after Ctrl-C.
        kept: whether the training then had a state to go on from.
    """

    clone: Clone
    interrupted: int
    kept: bool


@pytest.fixture(scope="module")
def storm(whole: Clone) -> Storm:
    """Return a clone after Ctrl-C in mid-training, and two more runs with every other fault.

    The node fails in a run of its own: what is submitted after that may be refused
    (docs/cluster.md).
    """
    running = start(whole, *FIRST)
    wait_for(running, lambda: lines(whole, STRANDED) > 2)
    os.killpg(running.pid, signal.SIGINT)  # what Ctrl-C does in a terminal
    running.communicate(timeout=120)
    interrupted = running.returncode
    wait_for(None, lambda: not whole.slurm.run("squeue", "-h"))
    state = whole.folder / STRANDED.replace("results/", "results/.state/")
    kept = any(state.glob("*/progress.json"))

    running = start(whole, *TARGETS)
    small = job_under_way(running, whole, REQUEUED, "a40")
    whole.slurm.run("scontrol", "requeue", small)
    end_well(running, whole, small, REQUEUED)

    running = start(whole, *FIRST)
    middle = job_under_way(running, whole, STRANDED, "a800")
    node = whole.slurm.run("squeue", "-h", "-j", middle, "-o", "%N").strip()
    whole.slurm.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    end_well(running, whole, middle, STRANDED)
    return Storm(whole, interrupted, kept)


def job_under_way(running: subprocess.Popen[str], clone: Clone, folder: str, partition: str) -> str:
    """Wait until a training has come further, and return its job's id."""
    seen = max(lines(clone, folder), 2)
    wait_for(running, lambda: lines(clone, folder) > seen)
    [job] = jobs_on(clone, partition, "ground_truth")
    return job


def end_well(running: subprocess.Popen[str], clone: Clone, job: str, folder: str) -> None:
    """Wait until Slurm has started a training again and the run has ended well."""
    wait_for(running, lambda: bool(clone.slurm.run("squeue", "-h", "-j", job, "-t", "PD")))
    # The node that failed here lives, and what ran on it has some seconds to end.
    wait_for(running, lambda: not trained(folder))
    # Slurm lets two minutes pass before it starts a job again.
    clone.slurm.run("scontrol", "update", f"JobId={job}", "StartTime=now")
    _, said = running.communicate(timeout=300)
    assert running.returncode == 0, said[-6000:]


def start(clone: Clone, *targets: str) -> subprocess.Popen[str]:
    """Start the trainings that are going to be hit, and don't wait for them."""
    short = ("--set-resources", "pretrain:mem_mb=300 * 10 ** (attempt - 1)")
    return launched(clone, *short, "--", *targets, configuration=STORM)


def launched(
    clone: Clone, *arguments: str, configuration: tuple[str, ...]
) -> subprocess.Popen[str]:
    """Start Snakemake in a session of its own, which Ctrl-C can be sent to."""
    return subprocess.Popen(
        clone.command(*arguments, configuration=configuration),
        cwd=clone.folder,
        env=clone.slurm.environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def trained(folder: str) -> bool:
    """Return whether a process of this training runs."""
    commands = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
    return any({"--record", f"{folder}/train.json"} <= set(command) for command in commands)


def wait_for(
    running: subprocess.Popen[str] | None, condition: Callable[[], bool], seconds: float = 240
) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if running is not None and running.poll() is not None:
            raise AssertionError(running.communicate()[1][-6000:])
        assert time.monotonic() < until
        time.sleep(0.2)


def lines(clone: Clone, folder: str) -> int:
    """Return how many lines of metrics a training has written."""
    file = clone.folder / folder / "metrics.jsonl"
    return len(file.read_text().splitlines()) if file.exists() else 0


def jobs_on(clone: Clone, partition: str, rule: str) -> list[str]:
    """Return the ids of a rule's running jobs in a partition."""
    said = clone.slurm.run("squeue", "-h", "-p", partition, "-t", "R", "-o", "%i %k")
    return [line.split()[0] for line in said.splitlines() if f"rule_{rule}" in line]


def test_ctrl_c_ends_all_jobs_and_a_training_keeps_its_state(storm: Storm):
    assert storm.interrupted != 0
    assert storm.kept


def test_after_all_faults_everything_is_there_and_no_state_is_left(storm: Storm):
    for target in (*FIRST, *TARGETS):
        assert (storm.clone.folder / target).exists()
    assert not list(storm.clone.folder.glob("results/.state/**/progress.json"))


def test_a_requeued_job_and_one_whose_node_died_were_started_again(storm: Storm):
    jobs = jobs_of(storm.clone, "rule_ground_truth")
    for partition, fate in [("a40", "REQUEUED"), ("a800", "NODE_FAIL")]:
        [again] = {job["JobID"] for job in jobs if job["State"] == fate}
        states = [job["State"] for job in jobs if job["JobID"] == again]
        assert states[-1] == "COMPLETED"
        assert {job["Partition"] for job in jobs if job["JobID"] == again} == {partition}


def test_a_job_that_ran_out_of_memory_got_more(storm: Storm):
    first, second = jobs_of(storm.clone, "rule_pretrain_wildcards_spare")[-2:]
    assert first["State"] in {"OUT_OF_MEMORY", "CANCELLED", "FAILED"}
    assert (first["ReqMem"], second["ReqMem"]) == ("300M", "3000M")
    assert second["State"] == "COMPLETED"


def test_broken_trainings_end_in_the_bytes_of_unbroken_ones(
    storm: Storm, tmp_path: Path, warm_process: Warm
):
    clone = storm.clone
    for part in ("models", "data", "pretraining", "worlds", "corpora"):
        shutil.copytree(clone.folder / "results" / part, tmp_path / "results" / part)
    unbroken = [f"{folder}/train.json" for folder in (REQUEUED, STRANDED)]
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(tmp_path)),
            *("--configfile", *CONFIGURATION, *STORM, "--", *unbroken),
        ],
        cwd=clone.folder,
        env={**os.environ, **warm_process.variable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-6000:]
    for folder in (REQUEUED, STRANDED):
        weights = f"{folder}/checkpoint/model.safetensors"
        assert (clone.folder / weights).read_bytes() == (tmp_path / weights).read_bytes()
