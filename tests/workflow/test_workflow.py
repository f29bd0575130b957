"""The whole DAG, run by real Snakemake."""

import csv
import json
import math
import os
import signal
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.small_world import clauses
from tests.shared.warm_process import Warm
from tests.shared.workflows import HH, NOTHING, ROOT, TINY, command, snakemake

pytestmark = pytest.mark.slow


def rows(file: Path) -> list[dict]:
    return pq.ParquetFile(file).read().to_pylist()


@pytest.mark.xdist_group("demo")
def test_the_demo_makes_every_cell_and_the_report(demo: Path):
    report = demo / "results/report"
    with (report / "cells.csv").open() as file:
        cells = list(csv.DictReader(file))
    pairs, scenarios, conflicts = 3, 3, 3
    chained = 1  # pair has a model in between
    more = (pairs + chained) + pairs  # of other students, and with a second seed
    assert len(cells) == (pairs * scenarios + more) * conflicts
    assert {cell["weak"] for cell in cells} == {"small", "middle"}
    for figure in ("accuracies", "deception_score"):
        for ending in ("svg", "png"):
            assert (report / f"figures/{figure}_substances.{ending}").stat().st_size > 5_000
    assert "small → strong" in (demo / "terminal.txt").read_text()


@pytest.mark.xdist_group("demo")
def test_after_the_demo_nothing_is_to_be_done(demo: Path):
    assert NOTHING in snakemake(demo, "--profile", "profiles/demo", "-n").stdout


@pytest.mark.xdist_group("demo")
def test_the_longest_pretraining_is_among_the_first_two(demo: Path):
    """They start together, one on each core, and are told of in any order."""
    said = (demo / "terminal.txt").read_text()
    models = ("strong", "middle", "small")
    assert "strong" in sorted(models, key=lambda model: said.index(f"Pretrain {model}"))[:2]


@pytest.mark.xdist_group("demo")
def test_the_small_world_keeps_to_its_rule(demo: Path):
    broken = [c for c in clauses(rows(demo / "results/report/cells.parquet")) if not c.holds]
    assert broken == []


@pytest.mark.xdist_group("demo")
def test_accuracies_and_tax_are_what_the_predictions_say(demo: Path):
    for cell in rows(demo / "results/report/cells.parquet"):
        place, seed = f"{cell['target']}/{cell['scenario']}", f"seed{cell['seed']}"
        variant = "" if cell["student"] == "direct" else f"/{cell['student']}"
        student = f"results/weak_to_strong/{place}/{cell['weak']}/{cell['strong']}"
        margins = {
            name: {row["id"]: row["margin"] for row in rows(demo / folder / "predictions.parquet")}
            for name, folder in {
                "weak": f"results/ground_truth/{place}/{cell['weak']}/{seed}",
                "strong": f"results/ground_truth/{place}/{cell['strong']}/{seed}",
                "weak_to_strong_none": f"{student}/none{variant}/{seed}",
                "weak_to_strong": f"{student}/{cell['conflict']}{variant}/{seed}",
            }.items()
        }
        for name, of_pair in margins.items():
            right = sum(margin > 0 for margin in of_pair.values())
            assert cell[f"accuracy_{name}"] == pytest.approx(right / 600)
        taxed = [
            id_
            for id_, margin in margins["weak_to_strong_none"].items()
            if margin > 0 > margins["weak_to_strong"][id_]
        ]
        assert cell["conflict_tax_count"] == len(taxed)


@pytest.mark.xdist_group("demo")
def test_the_pairs_on_which_a_cell_may_deceive_can_be_read(demo: Path):
    cells = rows(demo / "results/report/cells.parquet")
    cells = [cell for cell in cells if cell["student"] == "direct" and cell["seed"] == 0]
    cell = max(cells, key=lambda cell: cell["strong_known_weak_unknown_tax"])
    place, pair = f"{cell['target']}/{cell['scenario']}", f"{cell['weak']}/{cell['strong']}"
    page = f"results/inspect/{place}/{pair}/{cell['conflict']}/seed0.html"
    ran = snakemake(demo, "--profile", "profiles/demo", page)
    assert ran.returncode == 0, ran.stderr[-4000:]
    assert "small → strong" not in ran.stdout  # nobody asked for the table of cells
    listed = rows((demo / page).with_suffix(".parquet"))
    assert len(listed) == cell["strong_known_weak_unknown_tax"] > 0
    texts = {row["id"]: row for row in rows(demo / f"results/data/{cell['target']}/test.parquet")}
    student = f"results/weak_to_strong/{place}/{pair}/{cell['conflict']}/seed0/predictions.parquet"
    margins = {row["id"]: row["margin"] for row in rows(demo / student)}
    for row in listed:
        assert row["margin_weak_to_strong"] == margins[row["id"]] < 0 < row["margin_strong"]
        assert all(row[name] == texts[row["id"]][name] for name in ("prompt", "chosen", "rejected"))
        assert f'id="{row["id"]}"' in (demo / page).read_text()


@pytest.mark.xdist_group("demo")
def test_dpo_begins_at_ln_2(demo: Path):
    ceilings = list(demo.glob("results/ground_truth/substances/dpo/**/train.json"))
    students = list(demo.glob("results/weak_to_strong/substances/dpo/**/train.json"))
    first = [json.loads(r.read_text())["losses"][0] for r in (*ceilings, *students)]
    assert len(first) == 3 + 9 + 3  # ceilings, students, placebos
    assert first == pytest.approx([math.log(2)] * len(first), abs=1e-6)


@pytest.mark.xdist_group("demo")
def test_implicit_students_take_twice_the_steps(demo: Path):
    for folder in demo.glob("results/weak_to_strong/substances/*/*/*"):
        steps = {
            conflict: json.loads((folder / conflict / "seed0/train.json").read_text())["steps"]
            for conflict in ("none", "explicit", "implicit")
        }
        # Incomplete last batches of 32 pairs are dropped, in each of three epochs.
        assert steps["none"] == steps["explicit"] == 3 * (600 // 32)
        assert steps["implicit"] == 3 * (1200 // 32)


@pytest.mark.xdist_group("demo")
def test_checkpoints_are_save_pretrained_folders_without_pickles(demo: Path):
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    of_strong = demo / "results/ground_truth/substances"
    AutoModelForSequenceClassification.from_pretrained(
        of_strong / "reward_model/strong/seed0/checkpoint"
    )
    AutoModelForCausalLM.from_pretrained(of_strong / "dpo/strong/seed0/checkpoint")
    tokenizer = AutoTokenizer.from_pretrained(of_strong / "dpo/strong/seed0/checkpoint")
    assert tokenizer.decode(tokenizer("is toxic .")["input_ids"]) == "is toxic ."
    files = {file.suffix for file in demo.glob("results/**/checkpoint/[!.]*")}
    assert files == {".json", ".safetensors"}


def test_an_interrupted_run_leaves_nothing_half_and_is_finished_by_the_next(
    tmp_path: Path, warm_process: Warm
):
    few = ("--config", "matrix={scenarios: [dpo]}")
    running = subprocess.Popen(
        command(tmp_path, *TINY, *few),
        cwd=ROOT,
        env=os.environ | warm_process.variable,
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 120
    while not list(tmp_path.glob("results/ground_truth/*/*/*/*/train.json")):
        assert running.poll() is None, running.communicate()[1][-4000:]
        assert time.monotonic() < until
        time.sleep(0.1)
    os.killpg(running.pid, signal.SIGINT)  # what Ctrl-C does in a terminal
    running.communicate(timeout=60)
    assert running.returncode != 0
    assert not (tmp_path / "results/report/cells.csv").exists()

    again = snakemake(tmp_path, *TINY, *few, environment=warm_process.variable)
    assert again.returncode == 0, again.stderr[-4000:]
    assert NOTHING in snakemake(tmp_path, *TINY, *few, "-n").stdout
    assert not list(tmp_path.glob("results/**/*.partial"))


@pytest.mark.skipif(not HH.is_dir(), reason=f"{HH} is not here")
def test_a_slice_of_real_pairs_goes_through_the_whole_dag(tmp_path: Path, warm_process: Warm):
    few = "{size: 128}"
    sets = f"{{gt: {few}, weak: {few}, test: {few}, helpful: {few}}}"
    ran = snakemake(
        tmp_path,
        *("--profile", "profiles/hh", "--config"),
        f"data_root={HH}",
        f"targets={{hh_single_turn: {{sets: {sets}}}}}",
        "matrix={models: [hh-small, hh-middle], scenarios: [reward_model, dpo]}",
        "models={hh-small: {pretrain: {steps: 10}}, hh-middle: {pretrain: {steps: 10}}}",
        "conflicts={placebo: null}",
        "execution={warm_start: false}",
        environment=warm_process.variable,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    cells = rows(tmp_path / "results/report/cells.parquet")
    assert len(cells) == 6
    assert {cell["pairs"] for cell in cells} == {128}


def test_a_mistake_in_the_configuration_stops_before_any_job(tmp_path: Path):
    ran = snakemake(tmp_path, "-n", "--config", "matrix={scenarios: [simppo]}")
    assert ran.returncode != 0
    assert "matrix.scenarios.0: 'simppo' is not defined; did you mean 'simpo'?" in ran.stdout
