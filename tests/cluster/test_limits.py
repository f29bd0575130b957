"""What partitions make of what jobs ask for, and what refuses a job before it is queued."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.shared.workflows import ROOT, snakemake
from workflow_scripts.cluster import hardware, work
from workflow_scripts.cluster.limits import Limits, Parts
from workflow_scripts.cluster.work import JOBS
from workflow_scripts.config import experiment, paths, uses
from workflow_scripts.config.layers import Layer, read_layers
from workflow_scripts.core.errors import UserError

FIELDS = {"target": "harmlessness", "model": "mistral-7b", "scenario": "dpo", "seed": "0"}
TRAINING = f"{paths.GROUND_TRUTH}/train.json"
READOUTS = (paths.CEILING_PREDICTIONS, paths.WEAK_LABELS)


def config(**more: Any) -> experiment.Config:
    """Return the paper's configuration with more laid over it."""
    return experiment.load([*read_layers([ROOT / "config.yaml"], {}), Layer("more.yaml", more)])


def limits_of(folder: Path, of: experiment.Config, **partitions: str) -> Limits:
    """Return the limits of partitions that are written as in YAML."""
    file = folder / "partitions.yaml"
    lines = [f"  {name}: {{{limits}}}" for name, limits in partitions.items()]
    file.write_text("\n".join(["partitions:", *lines]))
    return Limits.of_file(of, str(file))


A800 = "available_gpu_models: [a800], max_gpu: 16, max_nodes: 2"


@pytest.mark.parametrize(
    ("minutes", "partition"),
    [(25, "debug"), (191, "long"), (5000, "long")],  # longer than any: that of the longest
)
def test_plan_names_the_partition_that_the_plugin_chooses(
    minutes: int, partition: str, tmp_path: Path
):
    paper = config()
    limits = limits_of(
        tmp_path, paper, debug=f"{A800}, max_runtime: 30m", long=f"{A800}, max_runtime: 1d"
    )
    asked = hardware.request(paper, "mistral-7b", tokens=1)
    assert limits.partition("mistral-7b", asked, minutes) == partition


def test_a_training_and_its_readouts_share_the_time_of_a_short_partition(tmp_path: Path):
    paper = config()
    alone = work.Costs(paper)
    asked = [alone.request(output, FIELDS).runtime_min for output in (TRAINING, *READOUTS)]
    assert sum(asked) > 160
    for longest in (40, 160, sum(asked), 5000):
        limits = limits_of(tmp_path, paper, short=f"{A800}, max_runtime: {longest}")
        costs = work.Costs(paper, limits)
        minutes = [costs.request(output, FIELDS).runtime_min for output in (TRAINING, *READOUTS)]
        assert sum(minutes) <= longest
        # What fits is as it was, and a training keeps its half.
        assert (minutes == asked) == (sum(asked) <= longest)
        assert minutes[0] >= min(asked[0], longest // 2)


@pytest.mark.parametrize("failed_for", ["memory", "time", "other"])
def test_what_a_further_attempt_gets_stays_within_the_partition(
    failed_for: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    paper = config()
    fields = FIELDS | {"model": "gpt2"}
    note = Path(f"results/.attempts/{TRAINING.format(**fields).removeprefix('results/')}.json")
    note.parent.mkdir(parents=True)
    note.write_text(f'["{failed_for}", "{failed_for}"]')
    first = work.Costs(paper).request(TRAINING, fields)
    third = work.Costs(paper).request(TRAINING, fields, attempt=3)
    grown = (third.mem_mb / first.mem_mb, third.runtime_min / first.runtime_min)
    assert grown == {"memory": (4, 1), "time": (1, 4), "other": (1, 1)}[failed_for]
    a40 = "available_gpu_models: [a40], max_gpu: 4"
    limits = limits_of(tmp_path, paper, a40=f"{a40}, max_mem_mb: 6000, max_runtime: 90")
    fitted = work.Costs(paper, limits).request(TRAINING, fields, attempt=3)
    assert fitted.mem_mb == min(third.mem_mb, 6000)
    assert fitted.runtime_min <= 90
    assert fitted.micro_batch == third.micro_batch


@pytest.mark.parametrize(
    ("partition", "message"),
    [
        (f"{A800}, max_runtime: 15", "max_runtime of p is below 20 minutes; raise it, or lower ex"),
        (f"{A800}, max_mem_mb: 32000", "max_mem_mb of p is below 52"),
        (f"{A800}, max_threads: 2", "max_threads of p is below 4; raise it, or lower execution.th"),
        (f"{A800}, supports_mpi: false", "supports_mpi of p allows no 4 ranks on 1 nodes"),
        ("available_gpu_models: [a800], max_gpu: 2", "max_gpu of p is below 4; raise it, or lower"),
        ("available_gpu_models: [a40], max_gpu: 8", "on 4 x a800; list one with it in available_"),
    ],
)
def test_what_fits_no_partition_is_refused_with_the_key_to_change(
    partition: str, message: str, tmp_path: Path
):
    paper = config()
    limits = limits_of(tmp_path, paper, p=partition)
    said = f"^{re.escape(limits.file)}: no partition for mistral-7b.*{re.escape(message)}"
    with pytest.raises(UserError, match=said):
        work.Costs(paper, limits).check({"mistral-7b": ["training"]})
    with pytest.raises(UserError, match=said):
        work.Costs(paper, limits).of(TRAINING.format(**FIELDS))


def test_what_only_further_cells_train_whole_is_checked_before_anything_runs(tmp_path: Path):
    probe = {"kind": "reward_model", "linear_probe": True}
    # Enough for reading the model, and for none of its trainings.
    one_gpu = "available_gpu_models: [a40, a800], max_gpu: 1"

    def check(**more: Any) -> None:
        found = config(matrix={"scenarios": ["probe"], **more}, scenarios={"probe": probe})
        limits = limits_of(tmp_path, found, p=one_gpu)
        work.Costs(found, limits).check({"mistral-7b": uses.of_cells(found)["mistral-7b"]})

    check()
    with pytest.raises(UserError, match="max_gpu of p is below 4"):
        check(more=[{"scenarios": ["reward_model"]}])


def test_a_file_without_partitions_is_an_error(tmp_path: Path):
    (tmp_path / "other.yaml").write_text("a40: {}")
    with pytest.raises(UserError, match=r"other.yaml: no `partitions`"):
        Limits.of_file(config(), str(tmp_path / "other.yaml"))


def test_parts_never_take_more_than_there_is():
    for training, readouts, limit in [(0, 40, 30), (300, 90, 40), (20, 60, 90), (400, 0, 40)]:
        parts = Parts(training, readouts)
        shares = [parts.share(training, limit, trains=True)] if training else []
        shares += [parts.share(readouts // 2, limit, trains=False)] * 2 if readouts else []
        assert sum(shares) <= limit
        assert min(shares) > 0


@pytest.mark.slow
def test_the_dry_run_refuses_what_plan_refuses(tmp_path: Path):
    file = tmp_path / "partitions.yaml"
    file.write_text("partitions: {a40: {available_gpu_models: [a40], max_gpu: 4}}")
    for command in ("-n", "plan"):
        ran = snakemake(
            *(tmp_path, "--profile", "slurm", "--slurm-partition-config", str(file), command)
        )
        assert ran.returncode != 0
        said = re.findall(
            rf"{file}: no partition for \S+ on \d x a800; list", ran.stderr + ran.stdout
        )
        assert len(said) == 1, command


@pytest.mark.slow
def test_a_model_that_fits_no_gpu_is_refused_before_anything_runs(tmp_path: Path):
    small = ("--config", "hardware={mine: {memory_gb: 24, bf16_tflops: 165, per_node: 1}}")
    for asked in ("-n", "all", "plan"):
        ran = snakemake(tmp_path, asked, *small)
        assert ran.returncode != 0
        said = ran.stderr + ran.stdout
        assert re.search(r"models\.\S+: its training fits no GPU of `hardware`", said)
        assert "give it `lora: {r: 16, alpha: 32}`, " in said
        assert len(said.splitlines()) < 8
    small_enough = "results/ground_truth/hh_harmlessness/dpo/gpt2/seed0/train.json"
    assert snakemake(tmp_path, "-n", small_enough, *small).returncode == 0


LORA = "`lora: {r: 16, alpha: 32}`"


@pytest.mark.parametrize(
    ("entry", "ways"),
    [
        ({}, [LORA, "more `gpus`", "`offload: true`"]),
        ({"lora": {}}, ["more `gpus`"]),
        ({"zero": 0}, [LORA, "more `gpus`"]),
        ({"offload": True}, ["more `gpus`"]),
    ],
)
def test_a_model_that_fits_no_gpu_is_told_of_what_its_entry_may_have(
    entry: dict[str, Any], ways: list[str]
):
    tiny = {"a40": {"memory_gb": 8, "bf16_tflops": 150, "per_node": 1}, "a800": None}
    small = config(hardware=tiny, models={"mistral-7b": entry})
    with pytest.raises(UserError) as refused:
        hardware.request(small, "mistral-7b", tokens=1)
    said = f"give it {', '.join(ways)}, or set both `gpu_model` and `gpus` to try anyway"
    assert str(refused.value).endswith(said)
    # What it says of keys is taken, but for more GPUs, which depend on the hardware.
    for key, value in {"lora": {}, "offload": True}.items():
        if any(way.startswith(f"`{key}") for way in ways):
            config(hardware=tiny, models={"mistral-7b": entry | {key: value}})


def test_every_readout_is_of_the_kind_of_its_training():
    kinds = {job.kind for job in JOBS.values() if job.trains}
    assert {job.kind for job in JOBS.values()} - kinds == {"features"}
