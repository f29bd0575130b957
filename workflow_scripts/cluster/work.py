"""What each file under results/ costs to make: jobs ask for it, and ``plan`` adds it up.

One table says which model a job uses and how many tokens it goes through, for the job's own
resources and for the plan alike.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache

from workflow_scripts.cluster import attempts, hardware, tokens
from workflow_scripts.cluster.hardware import NO_GROWTH, Growth, Request
from workflow_scripts.cluster.limits import Limits, Parts
from workflow_scripts.cluster.texts import Texts
from workflow_scripts.cluster.tokens import Fields, Tokens
from workflow_scripts.config import matrix, paths
from workflow_scripts.config.experiment import Config
from workflow_scripts.config.matrix import Cell
from workflow_scripts.core.errors import UserError
from workflow_scripts.methods.students.chains import supervisor

STORED_BYTES = {"float32": 4, "bfloat16": 2}
"""Of each weight of a checkpoint, by `checkpoint_dtype`."""
TRAINED_BYTES = 4
"""Of each weight that is trained, of each of Adam's moments, and of base models: float32."""


@dataclass(frozen=True)
class _Job:
    """A kind of job that needs a GPU.

    Attributes:
        model: the field of its path that names its model.
        tokens: counts the tokens that it goes through.
        folder: the template of the training's folder, also for what is read off it.
        trains: whether it is the training itself.
    """

    model: str
    tokens: Tokens
    folder: str
    trains: bool = False

    @property
    def kind(self) -> str:
        """The folder below ``results/`` that its training is in."""
        return self.folder.split("/")[1]


JOBS = {
    f"{paths.PRETRAINING}/train.json": _Job("model", tokens.pretrain, paths.PRETRAINING, True),
    f"{paths.SFT}/train.json": _Job("model", tokens.sft, paths.SFT, True),
    f"{paths.GROUND_TRUTH}/train.json": _Job(
        "model", tokens.ground_truth, paths.GROUND_TRUTH, True
    ),
    f"{paths.STUDENT_SFT}/train.json": _Job("strong", tokens.student_sft, paths.STUDENT_SFT, True),
    f"{paths.WEAK_TO_STRONG}/train.json": _Job(
        "strong", tokens.weak_to_strong, paths.WEAK_TO_STRONG, True
    ),
    paths.FEATURES: _Job("model", tokens.features, paths.FEATURES.removesuffix(".parquet")),
    paths.SFT_REFERENCE: _Job("model", tokens.scoring("gt", "weak", "test"), paths.SFT),
    paths.STUDENT_REFERENCE: _Job("strong", tokens.student_reference, paths.STUDENT_SFT),
    paths.LABELLING_REFERENCE: _Job("strong", tokens.labelled_by_student, paths.STUDENT_SFT),
    paths.CEILING_PREDICTIONS: _Job("model", tokens.scoring("test"), paths.GROUND_TRUTH),
    paths.STUDENT_PREDICTIONS: _Job("strong", tokens.scoring("test"), paths.WEAK_TO_STRONG),
    paths.WEAK_LABELS: _Job("model", tokens.scoring("weak"), paths.GROUND_TRUTH),
    paths.STUDENT_LABELS: _Job(
        "strong",
        tokens.labelled_by_student,
        paths.filled(paths.WEAK_TO_STRONG, conflict="none"),
    ),
}
"""Every job that needs a GPU, by the template of its output.

Of a training's several outputs its record, ``train.json``, stands for it.
"""


@dataclass(frozen=True)
class Work:
    """One training, or one reading of a set by a trained model.

    Attributes:
        folder: the training's folder, also for what is read off it.
        model: the model's name.
        trains: whether it is the training itself.
        tokens: tokens gone through.
        gpus: GPUs that work at once.
        seconds: how long that is estimated to take.
        minutes: the time limit that it asks for.
    """

    folder: str
    model: str
    trains: bool
    tokens: int
    gpus: int
    seconds: float
    minutes: int


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

    def check(self, models: Iterable[str]) -> None:
        """Check that what trains each of ``models``, or reads it, fits some GPU, and a partition.

        Found out before anything runs, and not when a model's first training is to begin.

        Raises:
            UserError: if one fits none, with the key to change.
        """
        scenarios = self._config.matrix.all_scenarios
        is_read = all(self._trains_head_alone({"scenario": name}) for name in scenarios)
        for model in models:
            asked = (self._scoring if is_read else self._training)(model, 1, NO_GROWTH)
            if self._limits is not None:
                self._limits.check(model, asked)

    def resources(self) -> set[str]:
        """Return the names of the resources that jobs of some model have.

        A model that fits none of the GPUs, which its jobs will say, may have any.
        """
        names: set[str] = set()
        for model in self._config.models:
            try:
                asked = self._training(model, 1, NO_GROWTH).resources
            except UserError:
                asked = dict.fromkeys(("gpu_model", "gres", "nodes", "mpi", "tasks_per_node"), 1)
            names |= {name for name, value in asked.items() if value is not None}
        return names

    def _asked(self, output: str, fields: Fields, growth: Growth) -> Request:
        job = JOBS[output]
        model, count = fields[job.model], job.tokens(self._longest, fields)
        if output == paths.FEATURES or self._trains_head_alone(fields):
            return self._scoring(model, count, growth)
        if not job.trains:
            return self._readout(model, count, growth)
        request = self._training(model, count, growth)
        return (
            self._of_sequences(request, model, growth)
            if job.folder == paths.PRETRAINING
            else request
        )

    def _parts(self, job: _Job, fields: Fields) -> Parts:
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
        if job.trains and not self._trains_head_alone(fields):
            seconds = hardware.training_seconds(self._config, model, count)
        else:
            seconds = hardware.scoring_seconds(self._config, model, count) / request.ranks
        return Work(
            folder=job.folder.format(**fields),
            model=model,
            trains=job.trains,
            tokens=count,
            gpus=request.gpu,
            seconds=seconds,
            minutes=request.runtime_min,
        )

    def _training_request(self, model: str, count: int, growth: Growth) -> Request:
        return hardware.request(self._config, model, tokens=count, growth=growth)

    def _readout_request(self, model: str, count: int, growth: Growth) -> Request:
        return hardware.readout(self._config, model, tokens=count, growth=growth)

    def _scoring_request(self, model: str, count: int, growth: Growth) -> Request:
        return hardware.scoring(self._config, model, tokens=count, growth=growth)

    def _trains_head_alone(self, fields: Fields) -> bool:
        """Return whether features that were read once are trained on: no more than reading."""
        scenario = self._config.scenarios.get(fields.get("scenario", ""))
        return scenario is not None and scenario.trains_head_alone

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


def checkpoint_bytes(config: Config, model: str) -> int:
    """Return the size of a model's checkpoint: of adapters, theirs alone."""
    return STORED_BYTES[config.checkpoint_dtype] * _trained_weights(config, model)


def state_bytes(config: Config, model: str) -> int:
    """Return the size of the state of a model's training: its weights and Adam's two moments."""
    return 3 * TRAINED_BYTES * _trained_weights(config, model)


def base_model_bytes(config: Config, model: str) -> int:
    """Return the size of a base model."""
    return TRAINED_BYTES * hardware.shape_of(config, model).params


def _trained_weights(config: Config, model: str) -> int:
    shape = hardware.shape_of(config, model)
    return shape.adapters or shape.params


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
