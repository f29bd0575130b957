"""Stage ``plan``: what would run now, on which GPUs, for how long, and what it leaves on disk."""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from workflow_scripts.cluster import hardware, work
from workflow_scripts.cluster.partitions import Partition, partition_for, read_partitions
from workflow_scripts.cluster.work import Work
from workflow_scripts.config import matrix
from workflow_scripts.config.experiment import Config
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_json

GB = 1e9


@dataclass(frozen=True)
class Plan:
    """What would run now.

    Attributes:
        works: every training and reading, with its seconds.
        measured: models whose seconds come from records of finished trainings.
        finished: trainings that stand.
        bytes: what the checkpoints and base models will take on disk.
    """

    works: list[Work]
    measured: set[str]
    finished: int
    bytes: int

    @property
    def trainings(self) -> list[Work]:
        """The trainings alone."""
        return [one for one in self.works if one.trains]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments."""
    add_workflow_arguments(parser)


def add_workflow_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what it takes to ask Snakemake for the state of the workflow."""
    parser.add_argument("--config", type=json.loads, required=True, help="the whole of it, as JSON")
    parser.add_argument("--snakefile", required=True, help="the workflow's Snakefile")
    parser.add_argument("--started-in", required=True, help="where its profiles are looked for")
    parser.add_argument("--partitions", nargs="?", help="YAML file of the cluster's partitions")


def run(args: argparse.Namespace) -> None:
    """Print the plan.

    Raises:
        UserError: if the configuration or the partitions' file cannot be read, or Snakemake says
            no.
    """
    config = Config.model_validate(args.config)
    partitions = read_partitions(args.partitions) if args.partitions else []
    plan = planned(config, outputs(args))
    console = Console(width=None if sys.stdout.isatty() else 100)
    if plan.works:
        console.print(_table(config, plan, partitions))
    for line in _notes(config, plan):
        console.print(line)


def outputs(args: argparse.Namespace) -> dict[str, bool]:
    """Return every output of the workflow, and whether it would be made now.

    Snakemake itself is asked: it alone knows what its own rules and triggers make of the files.

    Raises:
        UserError: if it fails.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(args.config, file)
        file.flush()
        asked = subprocess.run(
            [
                *(sys.executable, "-m", "snakemake", "--summary", "--nolock"),
                *("--snakefile", args.snakefile, "--directory", str(Path.cwd())),
                *("--configfile", file.name, "--", "all"),
            ],
            cwd=args.started_in,
            capture_output=True,
            text=True,
            check=False,
        )
    if asked.returncode:
        raise UserError(f"snakemake --summary failed: {asked.stderr.strip().splitlines()[-1]}")
    rows = csv.DictReader(asked.stdout.splitlines(), delimiter="\t")
    return {row["output_file"]: row["plan"] == "update pending" for row in rows}


def planned(config: Config, made: Mapping[str, bool]) -> Plan:
    """Return what would run, given which outputs would be made and which stand."""
    works = [one for path, now in made.items() if now and (one := work.of(config, path))]
    records = {
        path: one
        for path, now in made.items()
        if not now and path.endswith("train.json") and (one := work.of(config, path))
    }
    rates = _measured_rates(records)
    works = [
        replace(one, seconds=rates[one.model] * one.tokens / max(1, one.gpus))
        if one.trains and one.model in rates
        else one
        for one in works
    ]
    return Plan(works, set(rates), len(records), _disk(config, made, works))


def _measured_rates(records: Mapping[str, Work]) -> dict[str, float]:
    """Return GPU-seconds a token of each model's finished trainings.

    Tokens are those that the estimate counts, texts at their greatest length, so that the rate
    carries over to trainings that are counted likewise.
    """
    seconds: dict[str, float] = defaultdict(float)
    tokens: dict[str, float] = defaultdict(float)
    for path, one in records.items():
        record = read_json(path)
        seconds[one.model] += record["seconds"] * record["ranks"]
        tokens[one.model] += one.tokens
    return {model: seconds[model] / tokens[model] for model in seconds}


def _disk(config: Config, made: Mapping[str, bool], works: Iterable[Work]) -> int:
    """Return the bytes that stay: kept checkpoints and base models."""
    kept = sum(
        work.checkpoint_bytes(config, one.model)
        for one in works
        if one.trains and (config.keep_checkpoints or "/weak_to_strong/" not in one.folder)
    )
    base = [Path(path) for path, now in made.items() if now and path.startswith("results/models/")]
    fetched = (path.name for path in base if config.models[path.name].pretrain is None)
    return kept + sum(work.checkpoint_bytes(config, name) for name in fetched)


def gpu_hours(works: Iterable[Work]) -> float:
    """Return the GPU-hours of all of ``works``."""
    return sum(one.seconds * max(1, one.gpus) for one in works) / 3600


def _table(config: Config, plan: Plan, partitions: Sequence[Partition]) -> Table:
    table = Table(title="What would run now", title_justify="left")
    for column in ("model", "GPUs", "partition"):
        table.add_column(column)
    for column in ("trainings", "GPU-hours", "GPU-hours by"):
        table.add_column(column, justify="right")
    for model in config.models:
        own = [one for one in plan.works if one.model == model]
        trainings = [one for one in own if one.trains]
        if not own:
            continue
        gpus = max(one.gpus for one in own)
        asked = hardware.request(config, model, tokens=1)
        kind = asked.gpu_model
        fitting = partition_for(partitions, kind, gpus, asked.nodes)
        table.add_row(
            model,
            f"{gpus} x {kind}" if gpus else "none",
            fitting.name if fitting else "-",
            f"{len(trainings):,}",
            f"{gpu_hours(own):,.1f}",
            "records" if model in plan.measured else "parameters",
        )
    table.add_section()
    everything = f"{gpu_hours(plan.works):,.1f}"
    table.add_row("all", "", "", f"{len(plan.trainings):,}", everything, "")
    return table


def _notes(config: Config, plan: Plan) -> Iterable[str]:
    if not plan.works:
        yield f"Nothing needs a GPU; {plan.finished:,} trainings stand."
        return
    folders = {one.folder for one in plan.works}
    copies = work.copies(config, matrix.cells(config), folders)
    # Pretraining is no part of a cell.
    times = {folder: max(1, number) for folder, number in copies.items()}
    alone = sum(times[one.folder] for one in plan.trainings)
    hours = sum(gpu_hours([one]) * times[one.folder] for one in plan.works)
    yield (
        f"Were every cell run by itself, without sharing what cells have in common: {alone:,} "
        f"trainings, {hours:,.1f} GPU-hours."
    )
    yield f"Slurm jobs: {len(folders):,}. Trainings that stand: {plan.finished:,}."
    yield f"Disk: {plan.bytes / GB:,.1f} GB of checkpoints and base models."
    if not plan.measured:
        yield (
            f"GPU-hours are estimates from parameters and the longest texts, at "
            f"{hardware.UTILISATION:.0%} of each GPU's peak, until trainings of a model stand."
        )
