"""What a run would ask a cluster for, found out without one (tests/slurm has a real one)."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pytest

from tests.shared import joblog
from tests.shared.joblog import Job
from tests.shared.warm_process import Warm
from tests.shared.workflows import ROOT, TINY, snakemake
from workflow_scripts.cluster import hardware, local_checks, plan, work
from workflow_scripts.config import experiment, matrix, paths
from workflow_scripts.config.layers import Layer, read_layers
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_table

PAPER = ("--profile", "slurm")
VARIANTS = (*PAPER, "--configfile", "profiles/demo/experiment.yaml", "tests/variants.yaml")
LOCAL = {
    *("small_world", "prepare_data", "fetch_model", "local_model", "tokenizer"),
    *("probe", "cells", "tables", "figure", "page", "all"),
}


def slurm_jobs(jobs: list[Job]) -> list[list[str]]:
    """Return the rules of each Slurm job: those of a group, or one by itself."""
    groups: dict[str, list[str]] = {}
    for job in jobs:
        if job.rule not in LOCAL:
            groups.setdefault(job.group or job.name, []).append(job.rule)
    return list(groups.values())


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [PAPER, VARIANTS], ids=["paper", "variants"])
def test_there_are_as_many_slurm_jobs_as_trainings(tmp_path: Path, arguments: tuple[str, ...]):
    dry = joblog.run(tmp_path, *arguments, "-n")
    jobs = slurm_jobs(dry.jobs)
    trainings = {"pretrain", "sft", "ground_truth", "student_sft", "weak_to_strong"}
    assert [len(trainings & set(job)) for job in jobs] == [1] * len(jobs)
    assert len(jobs) > 30
    # `group-components` adds nodes up: two jobs of one rank would ask for two.
    several = [job.resources for job in dry.jobs if "nodes" in job.resources]
    assert all(resources["mpi"] == "srun" for resources in several)


def paper() -> experiment.Config:
    return experiment.load(read_layers([ROOT / "config.yaml"], {}))


EVERY_JOB = {
    "matrix": {
        "scenarios": ["reward_model", "dpo"],
        "conflicts": ["none", "explicit", "implicit", "implicit_matched"],
        "models": ["gpt2", "gpt2-large", "opt-6.7b"],
        "students": [
            {"name": "direct"},
            {"name": "high_confidence", "filter": 0.75},
            {"name": "via_gpt2-large", "through": ["gpt2-large"]},
        ],
    },
    "conflicts": {"implicit_matched": {"kind": "implicit_matched"}},
    "targets": {
        "harmlessness": {
            "sets": {
                name: {"size": size}
                for name, size in {"gt": 3000, "weak": 5000, "test": 7000, "helpful": 11000}.items()
            }
        }
    },
    "scenarios": {"reward_model": {"linear_probe": True}},
}
"""Jobs of every kind, of sets of different sizes."""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[experiment.Config, list[Job]]:
    """Return that experiment's configuration, and its jobs."""
    folder = tmp_path_factory.mktemp("asked")
    file = folder / "experiment.json"
    file.write_text(json.dumps(EVERY_JOB))
    jobs = joblog.run(folder, "-n", "--configfile", file).jobs
    return experiment.load(read_layers([ROOT / "config.yaml", file], {})), jobs


@pytest.mark.slow
def test_a_job_has_the_time_and_the_gpus_that_plan_counts(
    asked: tuple[experiment.Config, list[Job]],
):
    config, jobs = asked
    costs = work.Costs(config)
    kinds = set()
    for job in jobs:
        works = [one for path in job.outputs if (one := costs.of(path))]
        assert len(works) == ("gpu" in job.resources), job.name
        for one in works:
            assert job.resources["runtime"] == hardware.minutes(config, one.seconds), job.name
            assert job.resources["gpu"] == one.gpus, job.name
            kinds.add(job.rule)
    # All that need a GPU, but for pretraining.
    assert len(kinds) == len(work.JOBS) - 1


@pytest.mark.slow
def test_the_tokens_that_are_counted_are_those_of_the_sets_that_a_job_reads(
    asked: tuple[experiment.Config, list[Job]],
):
    config, jobs = asked
    costs = work.Costs(config)
    sizes = {name: of_set.size for name, of_set in config.targets["harmlessness"].sets}
    for job in jobs:
        for one in filter(None, map(costs.of, job.outputs)):
            places = [paths.parse(path) for path in job.inputs]
            read = [p.fields["set"] for p in places if p.template == paths.PAIRS]
            if one.trains:
                settings = job.settings
                # Of a matched mixture as many pairs are trained on as are labelled, the first set.
                matched = settings.get("conflict", {}).get("kind") == "implicit_matched"
                texts = 1 if settings["objective"] == "sft" else 2
                pairs = sum(sizes[name] for name in read[: 1 if matched else None])
                expected = pairs * texts * settings["epochs"]
            else:
                expected = 2 * sum(sizes[name] for name in read)
            assert one.tokens == expected * config.training.max_length, job.name


@pytest.mark.slow
def test_plan_counts_the_papers_trainings_once_though_cells_share_them(tmp_path: Path):
    ran = snakemake(tmp_path, "--cores", "1", "plan")
    assert ran.returncode == 0, ran.stderr[-4000:]
    assert re.search(r"mistral-7b +│ \d x a800 +│", ran.stdout)
    # 301 of cells, and a placebo for each pair of models in each scenario.
    assert re.search(r"all +│ +│ +│ +364 │", ran.stdout)
    # Two ceilings and a student a cell, each with its SFT but for reward models; placebos once.
    assert 63 * 3 + 126 * 6 + 63 == 1008
    assert "1,008 trainings" in ran.stdout


def test_every_training_of_a_cell_is_among_those_that_are_counted():
    config = paper()
    folders = {f for cell in matrix.cells(config) for f in work.trainings_of(config, cell)}
    costs = work.Costs(config)
    found = [costs.of(f"{folder}/train.json") for folder in folders]
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


def test_plan_reckons_with_the_lengths_of_texts_once_data_are_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    config = paper()
    sizes = {"prompt": (40, 4000), "chosen": (80, 1000), "rejected": (120, 3000)}
    table = {name: ["é" * (n // 2) for n in of_pairs] for name, of_pairs in sizes.items()}
    sets = {
        paths.PAIRS.format(target="harmlessness", set=name): True
        for name in ("gt", "weak", "test", "helpful")
    }
    for path in sets:
        write_table(path, pa.table(table))
    sft, ceiling, mixed = (
        f"results/{folder}/seed0/train.json"
        for folder in (
            "sft/harmlessness/gpt2",
            "ground_truth/harmlessness/dpo/gpt2",
            "weak_to_strong/harmlessness/reward_model/gpt2/gpt2-xl/implicit",
        )
    )
    # Four bytes a token; the second pair's prompt is cut to what its longer response leaves of 512,
    # and in SFT, which has the chosen response alone, to what that leaves.
    once = {sft: (10 + 20) + 512, ceiling: 3 * (60 + 512 + 250), mixed: 2 * (60 + 512 + 250)}
    for prepared in (False, True):
        pending = dict.fromkeys(sets, not prepared) | dict.fromkeys(once, True)
        found = plan.planned(config, pending)
        counted = {f"{item.folder}/train.json": item.tokens for item in found.works}
        greatest = {sft: 4000 * 512, ceiling: 3 * 8000 * 512, mixed: 2 * 8000 * 512}
        assert counted == (once if prepared else greatest)
        said = [line for line in plan.notes(config, found) if line.startswith("Texts of")]
        how = "about 411 tokens a pair" if prepared else "1,024 tokens a pair, until the data are"
        assert len(said) == 1
        assert how in said[0]


def test_readouts_take_all_the_gpus_of_their_training_and_so_much_less_time():
    config = paper()
    folder = "results/ground_truth/harmlessness/reward_model/mistral-7b/seed0"
    train, read = f"{folder}/train.json", f"{folder}/predictions.parquet"
    works = {item.trains: item for item in plan.planned(config, {train: True, read: True}).works}
    assert works[True].gpus == works[False].gpus == 4
    alone = hardware.scoring_seconds(config, "mistral-7b", works[False].tokens)
    assert plan.gpu_hours([works[False]]) == pytest.approx(alone / 3600)
    request = work.Costs(config).request(*paths.parse(read))
    assert (request.resources["tasks_per_node"], request.resources["mpi"]) == (4, "srun")


@pytest.mark.parametrize(
    ("slurm_type", "gres"), [(None, "gpu:a800:4"), ("A800_80GB", "gpu:A800_80GB:4"), ("", "gpu:4")]
)
def test_a_training_on_two_nodes_and_its_readouts_ask_for_the_gpus_of_each(
    slurm_type: str | None, gres: str
):
    layers = read_layers([ROOT / "config.yaml"], {})
    a800 = {"memory_gb": 80, "bf16_tflops": 312, "per_node": 8, "slurm_type": slurm_type}
    spread = {"gpu_model": "a800", "gpus": 8, "nodes": 2}
    more = Layer("more.yaml", {"hardware": {"a800": a800}, "models": {"gpt2": spread}})
    config = experiment.load([*layers, more])
    fields = {"target": "harmlessness", "model": "gpt2", "scenario": "dpo", "seed": "0"}
    costs = work.Costs(config)
    for output in (f"{paths.GROUND_TRUTH}/train.json", paths.CEILING_PREDICTIONS):
        assert costs.request(output, fields).gres == gres
    assert (
        costs.request(f"{paths.GROUND_TRUTH}/train.json", fields | {"model": "gpt2-xl"}).gres
        is None
    )


@pytest.mark.slow
def test_preflight_without_a_cluster_checks_this_machine(tmp_path: Path):
    ran = snakemake(tmp_path, "preflight", *TINY, environment={"CUDA_VISIBLE_DEVICES": "0,1"})
    told = ran.stderr + ran.stdout
    assert ran.returncode == 0, told
    assert re.search(r"GPUs +2 GPUs are visible here: at most so many trainings run at once", told)
    assert re.search(r"model small +pretrained here", told)
    assert re.search(r"disk +.* GB of checkpoints to come", told)


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        (0, "none visible here, so that trainings run on the CPU; opt-6.7b are too large for that"),
        (1, "1 GPU is visible here: at most so many trainings run at once"),
        (1, "opt-6.7b ask for up to 4; set `gpus` of these in config.yaml, or describe the GPUs"),
        (4, "4 GPUs are visible here: at most so many trainings run at once"),
    ],
)
def test_what_models_ask_for_is_compared_with_the_gpus_that_are_here(visible: int, found: str):
    config, costs = paper(), work.Costs(paper())
    folder = "results/ground_truth/harmlessness/reward_model"
    jobs = [costs.of(f"{folder}/{model}/seed0/train.json") for model in ("gpt2", "opt-6.7b")]
    said = [
        f"{finding.found}; {finding.fix}"
        for finding in local_checks.gpu_findings(config, filter(None, jobs), visible)
    ]
    assert any(line.startswith(found) for line in said), said
    assert len(said) == (2 if visible == 1 else 1)


def test_a_training_on_several_nodes_is_refused_in_containers_which_have_no_srun():
    local_checks.check_containers(paper())
    layers = read_layers([ROOT / "config.yaml"], {})
    spread = {"gpu_model": "a800", "gpus": 8, "nodes": 2}
    config = experiment.load([*layers, Layer("more.yaml", {"models": {"gpt2": spread}})])
    with pytest.raises(UserError, match=r"^models\.gpt2\.nodes: 2: a container starts ranks"):
        local_checks.check_containers(config)


@pytest.mark.slow
def test_on_one_machine_as_many_trainings_run_at_once_as_there_are_gpus(
    tmp_path: Path, warm_process: Warm
):
    """On this machine the GPUs are numbers alone: what runs on them runs on the CPU."""
    models = ("results/models/small", "results/models/middle", "--cores", "4")
    ran = snakemake(
        tmp_path,
        *(*models, *TINY),
        environment={"CUDA_VISIBLE_DEVICES": "5"} | warm_process.variable,
    )
    assert ran.returncode == 0, ran.stderr
    began_and_ended = re.findall(r"(?:Pretrain|is done: Pretrain) (\w+)", ran.stderr)
    assert began_and_ended[0] == began_and_ended[1] != began_and_ended[2] == began_and_ended[3]


@pytest.mark.slow
def test_a_training_on_more_gpus_than_there_are_is_refused_in_one_line(tmp_path: Path):
    more = ("--config", "models={small: {gpus: 4}}")
    ran = snakemake(
        tmp_path, "results/models/small", *TINY, *more, environment={"CUDA_VISIBLE_DEVICES": "0"}
    )
    assert ran.returncode == 1
    line = "models.small: its trainings ask for 4 GPUs, and 1 GPU is visible here; set `gpus: 1`"
    assert line in ran.stderr
    assert not (tmp_path / "results").exists()  # nothing has been run before
