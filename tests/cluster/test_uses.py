"""What is done with a model decides what it needs: a linear probe's model is only read."""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tests.shared.workflows import ROOT, snakemake
from workflow_scripts.cluster import hardware, local_checks, plan, room, slurm_checks, work
from workflow_scripts.cluster.limits import Limits
from workflow_scripts.config import experiment, paths, uses
from workflow_scripts.config.layers import Layer, read_layers
from workflow_scripts.core.errors import UserError

PROBE = {"kind": "reward_model", "linear_probe": True}
ONE_A40 = {"a40": {"memory_gb": 48, "bf16_tflops": 150, "per_node": 1}, "a800": None}
"""Enough to read mistral-7b, and for none of its trainings."""
PROBED: dict[str, Any] = {
    "matrix": {"scenarios": ["probe"], "models": ["gpt2", "mistral-7b"]},
    "scenarios": {"probe": PROBE},
    "hardware": ONE_A40,
}
HEAD = "results/ground_truth/harmlessness/probe/mistral-7b/seed0/train.json"
FEATURES = "results/features/harmlessness/mistral-7b/gt.parquet"


def config(**more: Any) -> experiment.Config:
    """Return the paper's configuration with probes, and more, laid over it."""
    layers = [Layer("probes.yaml", copy.deepcopy(PROBED)), Layer("more.yaml", more)]
    return experiment.load([*read_layers([ROOT / "config.yaml"], {}), *layers])


def checked(found: experiment.Config) -> None:
    work.Costs(found).check(uses.of_cells(found))


def test_a_model_that_is_only_probed_needs_a_gpu_that_holds_it_and_none_that_trains_it(
    tmp_path: Path,
):
    found = config()
    with pytest.raises(UserError, match="its training fits no GPU"):
        hardware.request(found, "mistral-7b", tokens=1)
    checked(found)
    costs = work.Costs(found)
    for path in (FEATURES, HEAD):
        asked = costs.request(*paths.parse(path))
        assert (asked.gpu, asked.gpu_model, asked.nodes) == (1, "a40", 1)
    # Preflight, plan and a run on this machine say the same as the dry run.
    local_checks.check_gpus(found, visible=1)
    assert [demand.gpus for demand in slurm_checks.demands(found, [])] == [1]
    file = tmp_path / "partitions.yaml"
    file.write_text("partitions: {p: {available_gpu_models: [a40], max_gpu: 1}}")
    limits = Limits.of_file(found, str(file))
    planned = plan.planned(found, {FEATURES: True, HEAD: True}, limits)
    table = plan.table(found, planned, limits)
    row = [next(iter(column.cells)) for column in table.columns[:3]]
    assert row == ["mistral-7b (probe)", "1 x a40", "p"]


BOTH: dict[str, Any] = {
    "matrix": {
        "models": ["gpt2", "opt-2.7b", "mistral-7b"],
        "more": [{"scenarios": ["reward_model"], "pairs": [["gpt2", "opt-2.7b"]]}],
    },
    "hardware": {
        # Holds opt-2.7b to read it; and trains it, slowly.
        "a40": {"memory_gb": 24, "bf16_tflops": 150, "per_node": 1},
        "a800": {"memory_gb": 80, "bf16_tflops": 3, "per_node": 1},
    },
}
"""gpt2, opt-2.7b and mistral-7b are probed; gpt2 and opt-2.7b are trained, too."""
OF_OPT = [
    HEAD.replace("mistral-7b", "opt-2.7b"),
    FEATURES.replace("mistral-7b", "opt-2.7b"),
    "results/ground_truth/harmlessness/reward_model/opt-2.7b/seed0/train.json",
]
"""A probe's head, what it reads, and a training of the whole model."""


def two_partitions(folder: Path, found: experiment.Config) -> Limits:
    file = folder / "partitions.yaml"
    gpus = "available_gpu_models: [a40, a800], max_gpu: 1"
    file.write_text(
        f"partitions: {{p: {{{gpus}, max_runtime: 2h}}, plong: {{{gpus}, max_runtime: 9d}}}}"
    )
    return Limits.of_file(found, str(file))


def test_preflight_gives_a_probe_its_own_minutes_and_not_those_of_the_models_training(
    tmp_path: Path,
):
    found = config(**copy.deepcopy(BOTH))
    limits = two_partitions(tmp_path, found)
    works = plan.planned(found, dict.fromkeys(OF_OPT, True), limits).works
    longest = plan.longest_jobs(works)
    assert longest["opt-2.7b", "probe"] < 120 < longest["opt-2.7b", "training"]
    chosen = {
        (demand.gpu_model, *kind): partition
        for demand in slurm_checks.demands(found, works)
        for kind, partition in demand.partitions(limits).items()
        if kind[0] == "opt-2.7b"
    }
    assert chosen == {("a40", "opt-2.7b", "probe"): "p", ("a800", "opt-2.7b", "training"): "plong"}


def test_preflight_checks_the_memory_of_each_use_on_the_same_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    demo = [ROOT / "config.yaml", ROOT / "profiles/demo/experiment.yaml"]
    found = experiment.load(read_layers(demo, {}))
    low, high = (
        dataclasses.replace(hardware.request(found, "small", tokens=1), gpu=1, mem_mb=mem_mb)
        for mem_mb in (8_000, 64_000)
    )
    kinds = [("small", "pretraining", low), ("small", "training", high)]
    monkeypatch.setattr(work.Costs, "kinds", lambda _: iter(kinds))
    monkeypatch.setattr(slurm_checks, "run_slurm", lambda *_, **__: f"p|gpu:{low.slurm_type}:1")
    gpus = f"available_gpu_models: [{low.slurm_type}], max_gpu: 1"
    said = {}
    for most in (32_000, 64_000):
        file = tmp_path / "partitions.yaml"
        file.write_text(f"partitions: {{p: {{{gpus}, max_mem_mb: {most}}}}}")
        limits = Limits.of_file(found, str(file))
        findings = slurm_checks.partition_findings(found, [], limits)
        said[most] = [finding.found for finding in findings][1:]
    assert said[64_000] == ["p, for small"]
    refusal, fits = said[32_000]
    assert refusal.endswith("max_mem_mb of p is below 64000")
    assert fits == "p, for small"


def test_plan_shows_a_models_probes_and_its_trainings_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    found = config(**copy.deepcopy(BOTH))
    limits = two_partitions(tmp_path, found)
    done = OF_OPT[0].replace("seed0", "seed1")
    Path(done).parent.mkdir(parents=True)
    Path(done).write_text('{"seconds": 60, "ranks": 1}')

    def rows(works: list[str]) -> list[tuple[str, ...]]:
        planned = plan.planned(found, {done: False, **dict.fromkeys(works, True)}, limits)
        table = plan.table(found, planned, limits)
        cells = zip(*(map(str, column.cells) for column in table.columns), strict=True)
        return [(*row[:4], row[5]) for row in cells][:-1]

    trained = ("opt-2.7b", "1 x a800", "plong", "1", "parameters")
    probed = ("opt-2.7b (probe)", "1 x a40", "p", "1")
    assert rows(OF_OPT) == rows(OF_OPT[::-1]) == [trained, (*probed, "parameters")]
    # The record of a head says how long a head takes, and not how long it is to read the texts.
    assert rows([OF_OPT[0], OF_OPT[2]]) == [trained, (*probed, "records")]


def test_a_probes_model_that_no_gpu_holds_is_refused():
    small = {"a40": {"memory_gb": 24, "bf16_tflops": 150, "per_node": 1}, "a800": None}
    with pytest.raises(UserError, match=r"^models\.mistral-7b: no GPU of `hardware` that its"):
        checked(config(hardware=small))
    checked(config(hardware=small, models={"mistral-7b": {"gpu_model": "a40", "gpus": 1}}))
    checked(config(hardware=small, models={"mistral-7b": {"gpus": 0}}))


def test_it_is_refused_as_soon_as_one_cell_trains_it_whole():
    pair = [["gpt2", "mistral-7b"]]
    small = [["gpt2", "gpt2-medium"]]
    more = {"scenarios": ["reward_model"], "pairs": small}
    checked(config(matrix={"more": [more]}))
    with pytest.raises(UserError, match=r"models\.mistral-7b: its training fits no GPU"):
        checked(config(matrix={"more": [more | {"pairs": pair}]}))


def test_a_micro_batch_is_halved_before_a_larger_gpu_is_taken_to_read_a_model():
    both = {
        name: {"memory_gb": gb, "bf16_tflops": 150, "per_node": 1}
        for name, gb in (("a40", 33.0), ("a800", 80))
    }
    asked = hardware.scoring(config(hardware=both), "mistral-7b", tokens=1)
    assert asked.gpu_model == "a40"
    assert asked.micro_batch < 8


def test_a_trained_model_is_read_out_by_what_its_gpu_holds():
    small = {"a40": {"memory_gb": 20, "bf16_tflops": 150, "per_node": 1}, "a800": None}
    found = config(hardware=small, models={"mistral-7b": {"lora": {}}})
    assert hardware.request(found, "mistral-7b", tokens=1).gpu == 1
    assert hardware.readout(found, "mistral-7b", tokens=1).micro_batch < 8
    assert hardware.readout(found, "gpt2", tokens=1).micro_batch == 8


def test_adapters_and_gpus_of_trainings_are_none_of_a_probes():
    entry = {"mistral-7b": {"lora": {}, "gpu_model": "a40", "gpus": 8, "nodes": 2}}
    plain, adapted = config(), config(models=entry)
    asked = hardware.scoring(adapted, "mistral-7b", tokens=1)
    assert asked == hardware.scoring(plain, "mistral-7b", tokens=1)
    local_checks.check_containers(adapted)
    local_checks.check_gpus(adapted, visible=1)
    # A probe's checkpoint is a whole model; what is trained is its head.
    assert room.checkpoint_bytes(adapted, "mistral-7b", "probe") > 28e9
    assert room.state_bytes(adapted, "mistral-7b", "probe") < 1e6


def test_what_cells_do_with_each_model():
    chained = {"name": "via_opt-2.7b", "through": ["opt-2.7b"]}
    averaged = {"name": "ensemble", "kind": "ensemble", "models": ["gpt2-medium"]}
    more = [
        {"scenarios": ["dpo"], "pairs": [["gpt2", "gpt2-xl"]]},
        {
            **{"scenarios": ["simpo"], "pairs": [["gpt2", "opt-6.7b"]]},
            "students": [{"name": "direct"}, chained, averaged],
        },
    ]
    found = uses.of_cells(config(matrix={"more": more}))
    assert found == {
        "gpt2": ["training", "probe"],
        **{model: ["training"] for model in ("gpt2-xl", "gpt2-medium", "opt-2.7b", "opt-6.7b")},
        "mistral-7b": ["probe"],
    }
    demo = [ROOT / "config.yaml", ROOT / "profiles/demo/experiment.yaml"]
    made_here = uses.of_cells(experiment.load(read_layers(demo, {})))
    assert set(map(tuple, made_here.values())) == {("pretraining", "training")}


@pytest.mark.slow
def test_the_dry_run_and_plan_take_a_model_that_is_only_probed(tmp_path: Path):
    file = tmp_path / "probes.yaml"
    file.write_text(
        "matrix: {scenarios: [probe], models: [gpt2, mistral-7b]}\n"
        "scenarios: {probe: {kind: reward_model, linear_probe: true}}\n"
        "hardware: {a40: {memory_gb: 48, bf16_tflops: 150, per_node: 1}}\n"
    )
    for command in ("-n", "plan"):
        ran = snakemake(
            *(tmp_path, command, "--configfile", str(file)),
            environment={"CUDA_VISIBLE_DEVICES": "0"},
        )
        assert ran.returncode == 0, ran.stderr + ran.stdout
    assert "1 x a40" in ran.stdout
