"""What would run now, on which GPUs, for how long, and how much of the disk it takes."""

import csv
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rich.table import Table

from workflow_scripts.cluster import hardware, room, work
from workflow_scripts.cluster.limits import Limits
from workflow_scripts.cluster.model_sizes import precision_of
from workflow_scripts.cluster.texts import BYTES_A_TOKEN, Texts
from workflow_scripts.cluster.work import Work
from workflow_scripts.config import matrix, paths
from workflow_scripts.config.data import SETS
from workflow_scripts.config.experiment import KEPT, Config
from workflow_scripts.config.uses import Use
from workflow_scripts.core.errors import UserError, last_line
from workflow_scripts.core.files import read_json

GB = 1e9


@dataclass(frozen=True)
class WorkflowPlan:
    """What would run now.

    Attributes:
        works: every training and reading, with its seconds.
        measured: models, and what is done with them, whose seconds come from records of finished
            trainings.
        finished: number of finished trainings.
        bytes: what the checkpoints and base models will take on disk.
        texts: how long the texts are.
    """

    works: list[Work]
    measured: set[tuple[str, Use]]
    finished: int
    bytes: int
    texts: Texts

    @property
    def trainings(self) -> list[Work]:
        """The trainings alone."""
        return [item for item in self.works if item.trains]


def outputs(config: str, snakefile: str, started_in: str) -> dict[str, bool]:
    """Return every output of the workflow, and whether it would be made now.

    Snakemake itself is asked, since only Snakemake knows what its rules and triggers rerun.

    Args:
        config: file of the whole configuration.
        snakefile: the workflow's Snakefile.
        started_in: the folder in which its profiles are looked for.

    Raises:
        UserError: if it fails.
    """
    summary = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--summary", "--nolock"),
            *("--snakefile", snakefile, "--directory", str(Path.cwd())),
            *("--configfile", str(Path(config).absolute()), "--", "all"),
        ],
        cwd=started_in,
        capture_output=True,
        text=True,
        check=False,
    )
    if summary.returncode:
        raise UserError(
            f"snakemake --summary failed: {last_line(summary.stderr)}; run it by hand to see more"
        )
    rows = csv.DictReader(summary.stdout.splitlines(), delimiter="\t")
    return {row["output_file"]: row["plan"] == "update pending" for row in rows}


def planned(
    config: Config, pending: Mapping[str, bool], limits: Limits | None = None
) -> WorkflowPlan:
    """Return what would run.

    Args:
        config: the whole configuration.
        pending: as `outputs` returns them: whether each output would be made now.
        limits: what the cluster's partitions leave a job.

    Raises:
        UserError: if a job fits none of them, with the key to change.
    """
    sets = (
        paths.PAIRS.format(target=target, set=name) for target in config.targets for name in SETS
    )
    texts = Texts(config, [path for path in sets if pending.get(path) is False])
    costs = work.Costs(config, limits, texts)
    found = {path: item for path in pending if (item := costs.of(path))}
    works = [item for path, item in found.items() if pending[path]]
    records = {path: item for path, item in found.items() if item.trains and not pending[path]}
    rates = _measured_rates(records)
    works = [
        replace(item, seconds=rates[item.model, item.use] * item.tokens / max(1, item.gpus))
        if item.trains and (item.model, item.use) in rates
        else item
        for item in works
    ]
    return WorkflowPlan(works, set(rates), len(records), _disk(config, pending, works), texts)


def _measured_rates(records: Mapping[str, Work]) -> dict[tuple[str, Use], float]:
    """Return GPU-seconds a token of each model's finished trainings, by what was done with it.

    Tokens are those that the estimate counts, so that the rate carries over to trainings that are
    counted likewise; a linear probe's head takes seconds where the whole model takes hours.
    """
    seconds: dict[tuple[str, Use], float] = defaultdict(float)
    tokens: dict[tuple[str, Use], float] = defaultdict(float)
    for path, item in records.items():
        record = read_json(path)
        seconds[item.model, item.use] += record["seconds"] * record["ranks"]
        tokens[item.model, item.use] += item.tokens
    return {kind: seconds[kind] / tokens[kind] for kind in seconds}


def _disk(config: Config, pending: Mapping[str, bool], works: Iterable[Work]) -> int:
    """Return the bytes that stay: kept checkpoints and base models."""
    kept = sum(
        room.checkpoint_bytes(config, item.model, item.use)
        for item in works
        if item.trains and _is_kept(config, item.folder)
    )
    places = (paths.parse(path) for path, now in pending.items() if now)
    names = (place.fields["model"] for place in places if place.template == paths.MODEL)
    fetched = (name for name in names if config.models[name].pretrain is None)
    return kept + sum(room.base_model_bytes(config, name) for name in fetched)


def _is_kept(config: Config, folder: str) -> bool:
    """Return whether a training's model stays."""
    training = paths.parse(f"{folder}/train.json").template.removesuffix("/train.json")
    return config.keep_checkpoints in KEPT.get(training, {"all", "ceilings", "none"})


def gpu_hours(works: Iterable[Work]) -> float:
    """Return the GPU-hours that the jobs of all of ``works`` hold."""
    return sum(item.seconds * max(1, item.gpus) for item in works) / 3600


def longest_jobs(works: Iterable[Work]) -> dict[tuple[str, Use], int]:
    """Return the minutes of the longest job, a training and its readouts, of each model and use."""
    minutes: dict[tuple[str, Use, str], int] = defaultdict(int)
    for item in works:
        minutes[item.model, item.use, item.folder] += item.minutes
    longest: dict[tuple[str, Use], int] = {}
    for (model, use, _), limit in minutes.items():
        longest[model, use] = max(limit, longest.get((model, use), 0))
    return longest


def table(config: Config, plan: WorkflowPlan, limits: Limits | None) -> Table:
    """Return a row a model: its GPUs, its partition, its trainings and GPU-hours.

    A model's linear probes have a row of their own, since they have GPUs of their own.
    """
    shown = Table(title="What would run now", title_justify="left")
    for column in ("model", "GPUs", "partition"):
        shown.add_column(column)
    for column in ("trainings", "GPU-hours", "GPU-hours by"):
        shown.add_column(column, justify="right")
    longest = longest_jobs(plan.works)
    for model in config.models:
        of_model = [item for item in plan.works if item.model == model]
        for probes in (False, True):
            works = [item for item in of_model if (item.use == "probe") == probes]
            if not works:
                continue
            most, minutes = max(
                ((item.asked, longest[model, item.use]) for item in works),
                key=lambda job: (job[0].gpu, job[1], job[0].mem_mb),
            )
            shown.add_row(
                f"{model} (probe)" if probes else model,
                f"{most.gpu} x {most.gpu_model}" if most.gpu else "none",
                limits.partition(model, most, minutes) if limits else "-",
                f"{sum(item.trains for item in works):,}",
                f"{gpu_hours(works):,.1f}",
                "records" if _by_records(plan, works) else "parameters",
            )
    shown.add_section()
    everything = f"{gpu_hours(plan.works):,.1f}"
    shown.add_row("all", "", "", f"{len(plan.trainings):,}", everything, "")
    return shown


def _by_records(plan: WorkflowPlan, works: Iterable[Work]) -> bool:
    """Return whether finished trainings say how long works take.

    The record of a probe's head says nothing of the hours in which its model is read.
    """
    return all(
        (item.model, item.use) in plan.measured and (item.trains or item.use != "probe")
        for item in works
    )


def notes(config: Config, plan: WorkflowPlan) -> Iterator[str]:
    """Yield what the table leaves out: the cost without sharing, Slurm jobs, disk."""
    if not plan.works:
        yield f"Nothing needs a GPU; {plan.finished:,} trainings are finished."
        return
    folders = {item.folder for item in plan.works}
    copies = work.copies(config, matrix.cells(config), folders)
    # Pretraining is no part of a cell.
    times = {folder: max(1, number) for folder, number in copies.items()}
    alone = sum(times[item.folder] for item in plan.trainings)
    hours = sum(gpu_hours([item]) * times[item.folder] for item in plan.works)
    yield (
        f"If every cell were run by itself, without sharing what cells have in common: {alone:,} "
        f"trainings, {hours:,.1f} GPU-hours."
    )
    yield f"Slurm jobs: {len(folders):,}. Finished trainings: {plan.finished:,}."
    yield f"Disk: {plan.bytes / GB:,.1f} GB of checkpoints and base models."
    states = [room.state_bytes(config, item.model, item.use) for item in plan.trainings]
    where = config.execution.states or paths.STATES
    yield f"States: up to {max(states, default=0) / GB:,.1f} GB a training that runs, in {where}."
    yield from _lengths(config, plan)
    if not plan.measured:
        yield (
            "GPU-hours are estimates from parameters and the tokens of texts, at "
            f"{hardware.UTILISATION:.0%} of each GPU's {_peaks(config, plan)}, "
            "until a model has finished trainings."
        )


def _peaks(config: Config, plan: WorkflowPlan) -> str:
    """Return which peaks are reckoned with: pretraining may have another than the rest."""
    of_pretraining = precision_of(config, "pretraining")
    others = {precision_of(config, item.use) for item in plan.works if item.use != "pretraining"}
    other = next(iter(others), of_pretraining)
    pretrains = any(item.use == "pretraining" for item in plan.works)
    if pretrains and other != of_pretraining:
        return f"{other} peak, in pretraining its {of_pretraining} peak"
    return f"{other} peak"


def _lengths(config: Config, plan: WorkflowPlan) -> Iterator[str]:
    """Yield how long texts are taken to be: as prepared or, of other targets, at most."""
    longest = []
    for target in config.matrix.targets:
        if not plan.texts.is_prepared(target, "test"):
            longest.append(target)
            continue
        tokens = plan.texts.both(target, "test") / plan.texts.pairs(target, "test")
        yield (
            f"Texts of {target}: as they are prepared, about {tokens:,.0f} tokens a pair in the "
            f"test set, at {BYTES_A_TOKEN} bytes a token."
        )
    if longest:
        yield (
            f"Texts of {', '.join(longest)}: at the greatest length, "
            f"{2 * config.training.max_length:,} tokens a pair, until the data are prepared."
        )
