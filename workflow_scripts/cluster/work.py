"""What each file under results/ costs to make: jobs ask for it, and ``plan`` adds it up.

A job's own resources and the plan are of the same numbers (``cluster/jobs.py``).
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from workflow_scripts.cluster import attempts, hardware
from workflow_scripts.cluster.hardware import NO_GROWTH, Growth, Request
from workflow_scripts.cluster.jobs import JOBS, Job
from workflow_scripts.cluster.limits import Limits, Parts
from workflow_scripts.cluster.texts import Texts
from workflow_scripts.cluster.tokens import Fields
from workflow_scripts.config import matrix, paths, uses
from workflow_scripts.config.experiment import Config
from workflow_scripts.config.matrix import Cell
from workflow_scripts.config.uses import Use
from workflow_scripts.core.errors import UserError
from workflow_scripts.methods.students.chains import supervisor


@dataclass(frozen=True)
class Work:
    """One training, or one reading of a set by a trained model.

    Attributes:
        folder: the training's folder, also for what is read off it.
        model: the model's name.
        use: what is done with the model.
        trains: whether it is the training itself.
        tokens: tokens gone through.
        seconds: how long that is estimated to take.
        asked: what its job asks for.
    """

    folder: str
    model: str
    use: Use
    trains: bool
    tokens: int
    seconds: float
    asked: Request

    @property
    def gpus(self) -> int:
        """GPUs that work at once."""
        return self.asked.gpu

    @property
    def minutes(self) -> int:
        """The time limit that its job asks for."""
        return self.asked.runtime_min


class Costs:
    """What jobs ask for, and cost, under one configuration."""

    def __init__(
        self, config: Config, limits: Limits | None = None, texts: Texts | None = None
    ) -> None:
        """Take a configuration; requests that many jobs share are worked out once.

        Args:
            config: the whole configuration.
            limits: what a cluster's partitions leave a job; None where nothing does.
            texts: how long texts are. Time limits follow from the greatest length even so: what is
                asked for does not change when data are prepared.
        """
        self._config = config
        self._limits = limits
        self._longest = Texts(config)
        self._texts = texts or self._longest
        self._training = cache(self._training_request)
        self._readout = cache(self._readout_request)
        self._scoring = cache(self._scoring_request)
        self._seconds = cache(self._estimated_seconds)

    def request(self, output: str, fields: Fields, attempt: int = 1) -> Request:
        """Return what the job that makes an output asks for.

        Args:
            output: the output's template, a key of ``JOBS``.
            fields: the template's fields; it may hold more.
            attempt: 1, or more after failures: then it gets more of what it failed for.

        Raises:
            UserError: if the model's entry asks for what cannot be, or it fits none of the GPUs,
                or none of the partitions.
        """
        asked = self._asked(output, fields, NO_GROWTH)
        # Most jobs are asked about once, and never fail.
        growth = NO_GROWTH if attempt == 1 else attempts.growth(output.format(**fields), attempt)
        grown = asked if growth == NO_GROWTH else self._asked(output, fields, growth)
        if self._limits is None:
            return grown
        job = JOBS[output]
        return self._limits.fitted(
            fields[job.model], asked, grown, self._parts(job, fields), trains=job.trains
        )

    def check(self, asked: Mapping[str, Iterable[Use]]) -> None:
        """Check that what is done with each model fits some GPU, and a partition.

        Found out before anything runs, and not when a model's first job is to begin.

        Args:
            asked: by model, what is done with it.

        Raises:
            UserError: if something fits none, with the key to change.
        """
        for model, of_model in asked.items():
            for use in of_model:
                request = self._first(use, model)
                if self._limits is not None:
                    self._limits.check(model, request)

    def kinds(self) -> Iterator[tuple[str, Use, Request]]:
        """Yield each model of the cells with each thing that is done with it, and its request.

        Raises:
            UserError: if one fits none of the GPUs.
        """
        for model, of_model in uses.of_cells(self._config).items():
            for use in of_model:
                yield model, use, self._first(use, model)

    def resources(self) -> set[str]:
        """Return the names of the resources that jobs of some model have.

        A model that fits none of the GPUs, which its jobs will say, may have any.
        """
        names: set[str] = set()
        for model in self._config.models:
            for use in uses.with_pretraining(self._config, model, {"training", "probe"}):
                try:
                    asked = self._first(use, model).resources
                except UserError:
                    asked = dict.fromkeys(
                        ("gpu_model", "gres", "nodes", "mpi", "tasks_per_node"), 1
                    )
                names |= {name for name, value in asked.items() if value is not None}
        return names

    def _first(self, use: Use, model: str) -> Request:
        """Return the least that a job asks for: all but its time, which depends on its texts."""
        if use == "probe":
            return self._scoring(model, 1, NO_GROWTH)
        return self._training(model, 1, NO_GROWTH, use)

    def _asked(self, output: str, fields: Fields, growth: Growth) -> Request:
        job, use = JOBS[output], self._use(output, fields)
        model, count = fields[job.model], job.tokens(self._longest, fields)
        if use == "probe":
            return self._scoring(model, count, growth)
        if not job.trains:
            return self._readout(model, count, growth)
        request = self._training(model, count, growth, use)
        return request if use == "training" else self._of_sequences(request, model, growth)

    def _use(self, output: str, fields: Fields) -> Use:
        if JOBS[output].folder == paths.PRETRAINING:
            return "pretraining"
        if output == paths.FEATURES:
            return "probe"
        return uses.of_scenario(self._config, fields.get("scenario", ""))

    def _parts(self, job: Job, fields: Fields) -> Parts:
        """Return the minutes of a job's training and of all that may be read off its model."""
        minutes = {True: 0, False: 0}
        # Labels are read off the student without a conflict, so their path names none.
        fields = {"conflict": "none", **fields}
        for output, other in JOBS.items():
            if other.kind == job.kind:
                minutes[other.trains] += self._asked(output, fields, NO_GROWTH).runtime_min
        return Parts(training=minutes[True], readouts=minutes[False])

    def of(self, path: str) -> Work | None:
        """Return the work that makes an output, or None for what needs no GPU.

        Raises:
            UserError: if the path is that of no result.
        """
        template, fields = paths.parse(path)
        if template not in JOBS:
            return None
        job = JOBS[template]
        model, count = fields[job.model], job.tokens(self._texts, fields)
        request = self.request(template, fields)
        use = self._use(template, fields)
        trains_all = job.trains and use != "probe"
        seconds = self._seconds(model, count, use, trains_all)
        return Work(
            folder=job.folder.format(**fields),
            model=model,
            use=use,
            trains=job.trains,
            tokens=count,
            seconds=seconds if trains_all else seconds / request.ranks,
            asked=request,
        )

    def _training_request(self, model: str, count: int, growth: Growth, use: Use) -> Request:
        return hardware.request(self._config, model, tokens=count, growth=growth, use=use)

    def _readout_request(self, model: str, count: int, growth: Growth) -> Request:
        return hardware.readout(self._config, model, tokens=count, growth=growth)

    def _scoring_request(self, model: str, count: int, growth: Growth) -> Request:
        return hardware.scoring(self._config, model, tokens=count, growth=growth)

    def _estimated_seconds(self, model: str, count: int, use: Use, trains_all: bool) -> float:
        """Return how long a training takes, or how long all GPUs together take to read texts."""
        estimate = hardware.training_seconds if trains_all else hardware.scoring_seconds
        return estimate(self._config, model, count, use)

    def _of_sequences(self, request: Request, model: str, growth: Growth) -> Request:
        """Return a pretraining's request: its batch is its own, all of it at once at first."""
        pretraining = self._config.models[model].pretrain
        assert pretraining is not None, f"{model} is not pretrained here"
        share = pretraining.batch_size // request.ranks
        micro_batch = math.gcd(share, max(1, share >> growth.memory))
        return replace(request, micro_batch=micro_batch)


def trainings_of(config: Config, cell: Cell) -> Iterator[str]:
    """Yield the folders of all trainings that a cell rests on, but for pretraining."""
    labellers = matrix.students(config)[cell.variant].labellers(cell.weak, cell.seed)
    for model, seed in dict.fromkeys(
        [(cell.weak, cell.seed), *labellers, (cell.strong, cell.seed)]
    ):
        fields = {**cell._asdict(), "model": model, "seed": seed}
        if config.scenarios[cell.scenario].from_sft:
            yield paths.SFT.format(**fields)
        yield paths.GROUND_TRUTH.format(**fields)
    yield from _student(config, cell)


def copies(config: Config, cells: Iterable[Cell], folders: set[str]) -> dict[str, int]:
    """Return how many cells rest on each of the trainings in ``folders``."""
    counted = dict.fromkeys(folders, 0)
    for cell in cells:
        for folder in set(trainings_of(config, cell)) & folders:
            counted[folder] += 1
    return counted


def _student(config: Config, cell: Cell) -> Iterator[str]:
    students = matrix.students(config)
    student = students[cell.variant]
    if chain := student.chain(cell.strong):
        before = supervisor(student, students.values())
        last = cell._replace(strong=chain[-1], conflict="none", variant=before.folder)
        yield from _student(config, last)
    fields = cell._asdict()
    if config.scenarios[cell.scenario].from_sft:
        supervision = config.conflicts[cell.conflict].supervision
        yield paths.STUDENT_SFT.format(supervision=supervision, **fields)
    yield paths.WEAK_TO_STRONG.format(**fields)
