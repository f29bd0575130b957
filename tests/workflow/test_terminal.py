"""What a user sees of a run: which cell, what failed, and what to do."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.shared.disks import can_mount, disk
from tests.shared.workflows import ROOT, SNAKEMAKE

pytestmark = pytest.mark.slow

WORLD = "results/worlds/substances/corpus.parquet"
COLD = "execution={warm_start: false}"  # a process for two jobs would take longer than they do


def typed(folder: Path, *arguments: object, checkout: Path = ROOT) -> subprocess.CompletedProcess:
    """Run what a user types, without ``--cores``, and return what it printed."""
    return subprocess.run(
        [SNAKEMAKE, "--directory", folder, *map(str, arguments)],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_dry_run_prints_the_table_of_jobs_and_with_p_every_job(tmp_path: Path):
    dry = typed(tmp_path, "-n")
    assert dry.returncode == 0
    printed = dry.stdout + dry.stderr
    assert re.search(r"^weak_to_strong +252$", printed, re.MULTILINE)
    assert "Job 2:" not in printed
    assert len(printed.splitlines()) < 50
    whole = typed(tmp_path, "-n", "-p", "--config", "matrix={scenarios: [dpo]}")
    assert "Train dpo student: harmlessness, gpt2 → gpt2-xl, explicit, seed 0" in whole.stdout
    assert "Reason: Missing output files" in whole.stdout
    assert "python -m workflow_scripts train" in whole.stdout


@pytest.mark.parametrize("profile", ["demo", "hh", "smollm2"])
def test_a_failed_job_ends_with_its_cell_its_error_its_log_and_what_to_do(
    profile: str, tmp_path: Path
):
    empty = tmp_path / "empty"
    empty.mkdir()
    model = f"models={{mine: {{path: {empty}, family: gpt2}}}}"
    at = ("--profile", f"profiles/{profile}", "--config", model, COLD)
    ran = typed(tmp_path / "run", "results/models/mine", *at)
    assert ran.returncode == 1
    assert re.search(r"^Job \d+: Copy mine$", ran.stderr, re.MULTILINE)
    assert ran.stderr.splitlines()[-4:] == [
        "Failed: Copy mine",
        f"    error: {empty}: holds no *.safetensors; save the model with save_pretrained first",
        "    log: results/logs/local_model/mine.log",
        "Fix it and run the same command again: what is finished stands.",
    ]


def test_a_job_says_which_it_is_when_it_starts_and_when_it_ends(tmp_path: Path):
    ran = typed(tmp_path, WORLD, "--profile", "profiles/demo", "--config", COLD)
    assert ran.returncode == 0, ran.stderr
    started = re.search(r"^Job (\d+): Generate the world substances$", ran.stderr, re.MULTILINE)
    assert started
    assert f"Job {started[1]} is done: Generate the world substances" in ran.stderr


def test_a_command_prints_what_it_found_and_nothing_of_snakemakes(tmp_path: Path):
    plan = typed(tmp_path, "plan", "--config", "matrix={scenarios: [dpo]}")
    assert plan.returncode == 0, plan.stderr
    assert plan.stdout.startswith("What would run now")
    assert not re.search("Job|jobs|Building|Snakemake", plan.stderr)
    (tmp_path / "results/data").mkdir()
    (tmp_path / "results/data/mine.txt").touch()
    verify = typed(tmp_path, "verify")
    assert verify.returncode == 1
    assert "results/data/mine.txt: there is no record of its making" in verify.stdout
    assert re.fullmatch(r"(Using .*\n)?error: 1 of 0 artefacts are not .*\n", verify.stderr)


def test_a_command_that_names_no_experiment_is_about_the_last_runs(tmp_path: Path):
    pair = "matrix={models: [small, middle], more: []}"
    ran = typed(tmp_path, WORLD, "--profile", "profiles/demo", "--config", pair, COLD)
    assert ran.returncode == 0, ran.stderr
    plan = typed(tmp_path, "plan")
    assert (
        "Experiment: config.yaml, profiles/demo/experiment.yaml, --config matrix={" in plan.stderr
    )
    assert "(the last run's; --configfile names another)" in plan.stderr
    assert re.findall(r"^│ (\w+) ", plan.stdout, re.MULTILINE) == ["small", "middle", "all"]
    (tmp_path / WORLD).write_bytes(b"damaged")
    verify = typed(tmp_path, "verify")
    assert re.search(rf"--force {WORLD} --configfile .*/demo/experiment.yaml", verify.stdout)
    named = typed(tmp_path, "plan", "--configfile", "config.yaml")
    assert "Experiment: config.yaml\n" in named.stderr
    assert "mistral-7b" in named.stdout


@pytest.mark.skipif(not can_mount(), reason="mounts a folder, which takes root")
def test_results_on_a_read_only_archive_are_verified(tmp_path: Path):
    (tmp_path / "results").mkdir()
    with disk(tmp_path / "results", 64):
        (tmp_path / "results/data").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", tmp_path / "results"], check=True)
        verify = typed(tmp_path, "verify")
        assert verify.stdout.strip() == "0 artefacts are what their records say."
        assert verify.returncode == 0, verify.stderr
    assert (tmp_path / ".snakemake/log/verify.log").is_file()


def test_a_mistake_in_the_configuration_is_told_whatever_is_asked_for(tmp_path: Path):
    for asked in (["plan"], ["-n"], []):
        ran = typed(tmp_path, *asked, "--config", "matrix={scenarios: [simppo]}")
        assert ran.returncode == 1
        assert "did you mean 'simpo'?" in ran.stderr + ran.stdout


ATTACHED = f"""
import sys

sys.path.insert(0, {str(ROOT)!r})

from snakemake.jobs import GroupJob
from snakemake.logging import logger
from workflow_scripts import terminal

terminal.attach(logger, brief=False)
"""
SMALL = """
rule all:
    input: "flaky", "broken"

rule flaky:
    output: "flaky"
    retries: 1
    message: "Try twice"
    shell: "test -e tried && touch {output} || {{ touch tried; exit 1; }}"

rule broken:
    output: "broken"
    log: "broken.log"
    message: "Break"
    shell: "{{ echo 'error: the first'; echo; echo 'error: the last'; echo bye; exit 1; }} > {log}"
"""
GROUP = """
rule read:
    input: "model"
    output: "margins"
    log: "read.log"
    message: "Read"
    shell: "echo 'error: a bad row' > {log}; exit 1"

rule train:
    output: "model"
    log: "train.log"
    message: "Train"
    shell: "echo all is well > {log}; touch {output}"

onerror:
    # As where a cluster has run both as one job.
    GroupJob("both", workflow.dag.jobs, workflow.global_resources).log_error()
"""


def test_only_what_failed_for_good_is_told_at_the_end(tmp_path: Path):
    (tmp_path / "Snakefile").write_text(ATTACHED + SMALL)
    checkout = ("--snakefile", tmp_path / "Snakefile", "--workflow-profile", "none")
    ran = typed(tmp_path, *checkout, "--cores", "1", "--keep-going")
    assert "Job 1 is done: Try twice" in ran.stderr
    assert ran.stderr.partition("\n\nFailed: ")[2].splitlines() == [
        "Break",
        "    error: the last",
        "    log: broken.log",
        "Fix it and run the same command again: what is finished stands.",
    ]


def test_of_a_job_of_a_cluster_only_what_failed_in_it_is_told(tmp_path: Path):
    (tmp_path / "Snakefile").write_text(ATTACHED + GROUP)
    checkout = ("--snakefile", tmp_path / "Snakefile", "--workflow-profile", "none")
    ran = typed(tmp_path, *checkout, "--cores", "1")
    assert ran.stderr.partition("\n\nFailed: ")[2].splitlines() == [
        "Read",
        "    error: a bad row",
        "    log: read.log",
        "Fix it and run the same command again: what is finished stands.",
    ]
