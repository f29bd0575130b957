"""A plain Slurm: GPUs without a type, nothing that accounts, and a partition for a minute.

Two runs of Snakemake at once carry all tests. As they begin, Slurm's controller is away. In one a
training takes longer than its partition allows, and Snakemake is killed and started again. In the
other, jobs are hit while they run.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from tests.shared.processes import catches
from tests.slurm import clones, cluster, sites
from tests.slurm.clones import Clone

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("plain_slurm")]

LONG = "results/sft/substances/small/seed1"
CANCELLED = "results/sft/substances/small/seed3"  # long as well, so that it is still under way
TIMED_OUT, OUT_OF_MEMORY = (
    f"results/ground_truth/substances/reward_model/small/seed{seed}" for seed in (1, 2)
)
CONFIGURATION = ("tests/slurm/plain.yaml",)
SHORT = "partitions: {short: {max_gpu: 4, max_runtime: 1, max_threads: 8}}"
AMPLE = "partitions: {long: {max_gpu: 4, max_runtime: 2d, max_threads: 8}}"
PATIENCE = 900
AWAY = 45.0
"""Seconds that the controller is away, in which a submission would have failed three times."""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    """Return such a cluster, which runs until the tests end."""
    if reason := cluster.missing():
        pytest.skip(f"a real Slurm {reason}")
    with cluster.started(tmp_path_factory.mktemp("slurm"), sites.PLAIN) as running:
        yield running


@dataclass
class Run:
    """A run of Snakemake, and what Slurm has said of its jobs.

    Attributes:
        clone: where it runs.
        process: it.
        said: what it said on standard error.
    """

    clone: Clone
    process: subprocess.Popen[str]
    said: str = ""

    @classmethod
    def started(cls, clone: Clone, variables: dict[str, str], *arguments: str) -> "Run":
        """Start Snakemake and don't wait for it."""
        process = subprocess.Popen(
            clone.command(*arguments, configuration=CONFIGURATION),
            cwd=clone.folder,
            env={**clone.slurm.environment, **variables},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=(clone.folder / "stderr").open("w"),
            text=True,
        )
        return cls(clone, process)

    def end(self) -> int:
        """Wait for its end, keep what it said and return its status."""
        status = self.process.wait()
        self.said = (self.clone.folder / "stderr").read_text()
        return status


@dataclass
class Watch:
    """Slurm's jobs as they were last seen, by id, and what was done to them."""

    slurm: cluster.Cluster
    jobs: dict[str, dict[str, str]] = field(default_factory=dict)

    def look(self) -> None:
        """Ask Slurm, and let a job that is to start again do so at once."""
        for line in self.slurm.run("scontrol", "--oneliner", "show", "job").splitlines():
            job = dict(re.findall(r"(\w+)=(\S*)", line))
            if "JobId" not in job:
                continue
            self.jobs[job["JobId"]] = job
            if (job["JobState"], job["Reason"]) == ("PENDING", "BeginTime"):
                self.slurm.run("scontrol", "update", f"JobId={job['JobId']}", "StartTime=now")

    def until(self, condition, *runs: Run) -> None:
        """Look again and again until a condition holds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, self.jobs
            for run in runs:
                assert run.process.poll() is None, (run.clone.folder / "stderr").read_text()[-4000:]
            self.look()
            time.sleep(0.5)

    def of(self, clone: Clone, *words: str) -> list[dict[str, str]]:
        """Return a clone's jobs whose script has these words, by the time of submission."""
        found = [job for job in self.jobs.values() if job["WorkDir"] == str(clone.folder)]
        return [job for job in found if all(word in job.get("Comment", "") for word in words)]


def commands_of(stage: str, folder: str) -> list[psutil.Process]:
    """Return the commands of a stage that read or write in a folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        made = {f"{folder}/train.json", f"{folder}/predictions.parquet"}
        if stage in words and made & set(words) and "python" in words[0]:
            found.append(process)
    return found


def is_submitting(run: Run) -> bool:
    """Return whether a submission of a run has been trying for longer than Slurm lets it wait."""
    for process in psutil.process_iter(["cmdline", "cwd", "create_time"]):
        if "workflow_scripts.cluster.submission" in (process.info["cmdline"] or []):
            began_long_ago = process.info["create_time"] < time.time() - 15
            if began_long_ago and process.info["cwd"] == str(run.clone.folder):
                return True
    return False


def hit_readouts(folder: str, hit: Callable[[psutil.Process], None], count: int, run: Run) -> None:
    """Hit the first commands of a run that read a training out; each is there for seconds."""
    hits: set[int] = set()
    while run.process.poll() is None and len(hits) < count:
        for command in commands_of("predict", folder):
            # One that has not begun could not say that it was told to stop.
            if command.pid not in hits and catches(signal.SIGTERM, command.pid):
                hits.add(command.pid)
                hit(command)
        time.sleep(0.05)


def lines(clone: Clone, folder: str) -> int:
    """Return how many lines of metrics a training has written."""
    file = clone.folder / folder / "metrics.jsonl"
    return len(file.read_text().splitlines()) if file.exists() else 0


@dataclass(frozen=True)
class Hit:
    """Two runs after their ends, and what was seen.

    Attributes:
        outlasting: the run with a training that outlasts its partition.
        hit: the run whose jobs were hit.
        watch: all jobs.
        back: when the controller was back.
        cancelled: the id of the job that was cancelled.
        statuses: the exit statuses of both.
    """

    outlasting: Run
    hit: Run
    watch: Watch
    back: datetime
    cancelled: str
    statuses: tuple[int, int]


@pytest.fixture(scope="module")
def base(slurm: cluster.Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple]:
    """Return a clone with a model and data, made on this machine, and the warm jobs' variable."""
    clone = clones.made(tmp_path_factory.mktemp("clone") / "project", slurm)
    (clone.folder / "profiles/slurm/partitions.yaml").write_text(SHORT)
    with clones.warm_jobs(clone) as variables:
        made = clone.command(
            *("--executor", "local", "--cores", "2", "--", "results/models/small"),
            "results/data/substances/gt.parquet",
            configuration=CONFIGURATION,
        )
        subprocess.run(made, cwd=clone.folder, env={**slurm.environment, **variables}, check=True)
        yield clone, variables


@pytest.fixture(scope="module")
def hit(base: tuple[Clone, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Hit:
    """Return both runs after their ends."""
    clone, variables = base
    other = Clone(tmp_path_factory.mktemp("other") / "project", clone.slurm)
    shutil.copytree(clone.folder, other.folder, symlinks=True)
    (other.folder / "profiles/slurm/partitions.yaml").write_text(AMPLE)
    watch = Watch(clone.slurm)

    rules = ("sft", "ground_truth", "ground_truth_predictions")
    late = ("--set-resources", *(f"{rule}:slurm_extra='--signal=TERM@10'" for rule in rules))
    readouts = (f"{TIMED_OUT}/predictions.parquet", f"{OUT_OF_MEMORY}/predictions.parquet")
    # No job here is to meet its time limit, which is a minute by the trainings' own reckoning. With
    # less than half an hour left, one that is told to stop is told so for its time.
    ample = (*late, *(f"{rule}:runtime=10" for rule in rules))
    with clone.slurm.controller_away():
        end = time.monotonic() + AWAY
        first = Run.started(clone, variables, *late, "--", f"{LONG}/train.json")
        hit = Run.started(other, variables, *ample, "--", *readouts, f"{CANCELLED}/train.json")
        while time.monotonic() < end or not all(map(is_submitting, (first, hit))):
            assert time.monotonic() < end + PATIENCE, hit.clone.slurm.log()
            time.sleep(0.5)
        back = datetime.now().replace(microsecond=0)

    def end_its_time(command: psutil.Process) -> None:
        """Send all of its job what Slurm sends before a time limit."""
        clone.slurm.run("scancel", "--signal=TERM", command.environ()["SLURM_JOB_ID"])

    # The kernel kills a process where memory is full.
    ways = (TIMED_OUT, end_its_time, 2), (OUT_OF_MEMORY, psutil.Process.kill, 1)
    hits = [threading.Thread(target=hit_readouts, args=(*way, hit), daemon=True) for way in ways]
    for thread in hits:
        thread.start()
    cancelled: list[str] = []
    outlasting = None

    def all_done() -> bool:
        nonlocal outlasting
        if not cancelled and lines(other, CANCELLED) > 1:
            [command] = commands_of("train", CANCELLED)
            cancelled.append(command.environ()["SLURM_JOB_ID"])
            clone.slurm.run("scancel", cancelled[0])
        if outlasting is None and lines(clone, LONG) > 1:
            # The host from which jobs are submitted goes down, and is there again.
            os.killpg(first.process.pid, signal.SIGKILL)
            first.process.wait()
            outlasting = Run.started(clone, variables, *late, "--", f"{LONG}/train.json")
        runs = (hit, outlasting)
        return all(run is not None and run.process.poll() is not None for run in runs)

    watch.until(all_done)
    watch.look()
    assert outlasting is not None
    statuses = (outlasting.end(), hit.end())
    return Hit(outlasting, hit, watch, back, cancelled[0], statuses)


def log_of(run: Run, rule: str, folder: str) -> str:
    """Return the log of a rule's last attempt."""
    return (
        run.clone.folder / f"results/logs/{rule}/{Path(*Path(folder).parts[2:])}.log"
    ).read_text()


def causes(run: Run, output: str) -> str:
    """Return why attempts at an output failed."""
    file = run.clone.folder / output.replace("results/", "results/.attempts/")
    found = file.with_name(f"{file.name}.json")
    return found.read_text() if found.exists() else ""


def test_preflight_knows_gpus_without_a_type_and_needs_no_accounting(base: tuple):
    clone, _ = base
    ran = subprocess.run(
        clone.command("preflight", configuration=CONFIGURATION),
        cwd=clone.folder,
        env=clone.slurm.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(r"✓ +partition short +a node has 4 x GPU", ran.stdout), ran.stdout + ran.stderr
    assert re.search(r"✓ +1 x a40 +short, for middle, small", ran.stdout)
    assert re.search(r"✓ +account +none needed", ran.stdout)
    assert len(ran.stderr) < 2000


def test_a_controller_that_is_away_costs_no_attempt(hit: Hit):
    jobs = hit.watch.of(hit.hit.clone)
    assert min(datetime.fromisoformat(job["SubmitTime"]) for job in jobs) >= hit.back
    # Each of three trainings, or its readout, cost an attempt: nothing else did.
    assert len(jobs) == 6
    assert "sbatch failed" not in hit.hit.said


def test_a_training_that_outlasts_its_partition_goes_on_in_the_same_job(hit: Hit):
    assert hit.statuses[0] == 0, hit.outlasting.said[-4000:]
    first, *others = hit.watch.of(hit.outlasting.clone, "rule_sft")
    assert int(first["Restarts"]) > 0
    assert first["TimeLimit"] == "00:01:00"
    assert first["JobState"] == "COMPLETED"
    assert not causes(hit.outlasting, f"{LONG}/train.json")
    assert len(others) == 1


def test_after_snakemake_was_killed_the_same_command_waits_for_the_job_that_runs(hit: Hit):
    first, second = hit.watch.of(hit.outlasting.clone, "rule_sft")
    assert second["JobState"] == "COMPLETED"
    assert second["StartTime"] >= first["EndTime"]
    assert "the training has finished before" in log_of(hit.outlasting, "sft", LONG)
    assert not list(hit.outlasting.clone.folder.glob("results/.state/**/progress.json"))


def test_a_job_that_is_cancelled_is_seen_to_have_ended_and_other_cells_go_on(hit: Hit):
    assert hit.statuses[1] == 0, hit.hit.said[-4000:]
    told = f"SLURM-job '{hit.cancelled}' failed, SLURM status is: 'CANCELLED'"
    assert told in hit.hit.said
    assert (hit.hit.clone.folder / CANCELLED / "train.json").exists()
    assert "going on after step" in log_of(hit.hit, "sft", CANCELLED)


@pytest.mark.parametrize("folder", [TIMED_OUT, OUT_OF_MEMORY])
def test_a_readout_that_ends_early_does_not_cost_its_training(hit: Hit, folder: str):
    assert (hit.hit.clone.folder / folder / "predictions.parquet").exists()
    log = log_of(hit.hit, "ground_truth", folder)
    assert "the training has finished before" in log
    assert "going on after step" not in log


def test_a_job_whose_time_ends_in_a_readout_starts_again_if_it_has_trained(hit: Hit):
    """Its next start, whose time ends there, too, has not: that costs an attempt, for more time."""
    restarts = [int(job["Restarts"]) for job in hit.watch.of(hit.hit.clone, "predictions")]
    assert sorted(restarts) == [0, 0, 0, 1]
    assert json.loads(causes(hit.hit, f"{TIMED_OUT}/predictions.parquet")) == ["time"]


def test_what_ran_out_of_memory_gets_more_of_it(hit: Hit):
    jobs = hit.watch.of(hit.hit.clone, "predictions")
    asked = sorted(int(re.sub(r"\D", "", job["MinMemoryNode"])) for job in jobs)
    assert '"memory"' in causes(hit.hit, f"{OUT_OF_MEMORY}/predictions.parquet")
    assert asked[0] == asked[2]
    assert asked[3] >= 2 * asked[0]
