"""Which part of the configuration each stage's result depends on.

Every rule carries its slice as a param, so Snakemake reruns a job exactly when its slice, its input
files or its command changes. Execution knobs (micro-batch, threads, partitions, logging) never
enter a slice. One function a stage; each returns the JSON of the stage's settings.
"""

import os
from typing import Any, Literal

from workflow_scripts.config import paths
from workflow_scripts.config.data import SETS, Source
from workflow_scripts.config.experiment import Config
from workflow_scripts.config.matrix import Cell, students
from workflow_scripts.config.models import EXECUTION_KNOBS
from workflow_scripts.config.stage_settings import (
    BaseModelSettings,
    CorpusSettings,
    DataSettings,
    LabelSettings,
    PageSettings,
    PretrainSettings,
    ProbeSettings,
    ReadoutSettings,
    SetSettings,
    TextSettings,
    TrainSettings,
    WorldSettings,
)
from workflow_scripts.methods.compat import SILENT_WHERE_FIXED, Compat
from workflow_scripts.methods.conflicts.conflict import Conflict
from workflow_scripts.methods.conflicts.placebo import PLACEBO
from workflow_scripts.methods.conflicts.registry import SFT_CONFLICTS
from workflow_scripts.methods.method import Method, Sft
from workflow_scripts.methods.scenarios.reward_model import RewardModel
from workflow_scripts.methods.scenarios.scenario import Scenario
from workflow_scripts.methods.students.student import DIRECT, Student


def world(config: Config, name: str) -> str:
    """Return what a generated world depends on: its own section."""
    return WorldSettings(**config.worlds[name].model_dump()).text()


def prepare_data(config: Config, target: str) -> str:
    """Return what a target's sets depend on: its own section, worlds as the files they make."""
    section = config.targets[target]
    sets = {}
    for name in SETS:
        pair_set = getattr(section.sets, name)
        source = pair_set.source.model_dump(exclude_none=True)
        if local := local_file(config, pair_set.source, name):
            source["path"] = local
        source.pop("world", None)
        if group := pair_set.source.group_column:
            source["group"] = group
        if not source["columns"]:
            del source["columns"]
        sets[name] = SetSettings(size=pair_set.size, source=source)
    return DataSettings(
        target=target,
        seed=section.seed,
        max_bad=section.max_bad,
        sets=sets,
        unscreened=True if config.compat.screening == "reference" else None,
    ).text()


def local_file(config: Config, source: Source, set_name: str) -> str | None:
    """Return the file or folder that a set is read from, or None where that is the hub."""
    if source.world:
        return paths.WORLD_SET.format(world=source.world, set=set_name)
    return os.path.join(config.data_root, source.path) if source.path else None


def base_model(config: Config, name: str) -> str:
    """Return what a fetched or copied base model depends on: where it comes from."""
    section = config.models[name]
    given = section.model_dump(include=set(BaseModelSettings.model_fields))
    return BaseModelSettings(**given).text()


def tokenizer(config: Config, corpus: str) -> str:
    """Return what a corpus's tokenizer depends on: its section, a world as the file it makes.

    The order of a target's sets is that of the texts, which Snakemake's list of inputs is without.
    """
    section = config.corpora[corpus]
    sets = None if section.world else section.sets
    return CorpusSettings(**section.tokenizer.model_dump(), sets=sets).text()


def pretrain(config: Config, name: str) -> str:
    """Return what a pretrained base model depends on: its shape, its budget and its own name."""
    model = config.models[name]
    section = model.pretrain
    assert section is not None, f"rule pretrain is constrained to pretrained models, not {name}"
    given = section.model_dump(exclude={"corpus"})
    return PretrainSettings(**given, seed=f"models/{name}", depth=model.depth).text()


def _training(
    config: Config,
    model: str,
    scenario: str | None,
    seed: str,
    quirks: frozenset[str],
    conflict: Conflict | None = None,
    student: Student | None = None,
) -> str:
    """Return the settings of a training of ``model``; without a scenario it is SFT."""
    method: Method = config.scenarios[scenario] if scenario else config.sft
    section = config.models[model]
    if rate := (section.learning_rates or {}).get(scenario or "sft"):
        method = method.model_copy(update={"learning_rate": rate})
    return TrainSettings(
        objective=config.scenarios[scenario].kind if scenario else "sft",
        method=method,
        seed=seed,
        **dict(config.training),
        compat=_compat(config, method.score_quirks | method.training_quirks | quirks),
        conflict=conflict,
        student=student,
        lora=None if method.trains_head_alone else section.lora,
        checkpoint_dtype=_stored(config),
    ).text()


def _stored(config: Config) -> Literal["bfloat16"] | None:
    """Return in what trained models are stored, None where that is as they are trained."""
    return None if config.checkpoint_dtype == "float32" else config.checkpoint_dtype


def _compat(config: Config, quirks: frozenset[str]) -> Compat:
    """Return the switches that matter, and no others."""
    switches = config.compat.model_dump(include=set(quirks))
    silent = {name for name in SILENT_WHERE_FIXED & quirks if switches[name] == "fixed"}
    return Compat(**{name: value for name, value in switches.items() if name not in silent})


def _label_quirks(config: Config, method: Method, variant: str) -> frozenset[str]:
    """Return the switches that matter to the labels a student is trained on."""
    filtered = students(config)[variant].filter is not None
    return method.label_quirks | (method.filter_quirks if filtered else frozenset())


def _mixture_quirks(config: Config, conflict: Conflict, variant: str) -> frozenset[str]:
    """Return the switches that matter to which helpful pairs are mixed in, and how often."""
    filtered = students(config)[variant].filter is not None and conflict.mixes_helpful
    return conflict.step_quirks | (frozenset({"filter_helpful"}) if filtered else frozenset())


def _student_quirks(config: Config, cell: Cell) -> frozenset[str]:
    """Return the switches that matter to a student, besides those of its scores."""
    method, against = config.scenarios[cell.scenario], config.conflicts[cell.conflict]
    trigger = method.trigger_quirks if against.has_trigger else frozenset()
    mixture = _mixture_quirks(config, against, cell.variant)
    labels = _label_quirks(config, method, cell.variant)
    return method.training_quirks | labels | trigger | mixture


def sft(config: Config, target: str, model: str, seed: str) -> str:
    """Return what supervised fine-tuning on the true labels depends on."""
    name = f"sft/{target}/{model}/seed{seed}"
    return _training(config, model, None, name, frozenset())


def ground_truth(config: Config, target: str, scenario: str, model: str, seed: str) -> str:
    """Return what a ground-truth training depends on."""
    name = f"ground_truth/{target}/{scenario}/{model}/seed{seed}"
    return _training(config, model, scenario, name, frozenset())


def _student(config: Config, variant: str) -> Student | None:
    """Return a student, but None for the direct one, which settings do not name."""
    student = students(config)[variant]
    return None if student.name == DIRECT else student


def student_sft(
    config: Config,
    target: str,
    scenario: str,
    weak: str,
    strong: str,
    supervision: str,
    variant: str,
    seed: str,
) -> str:
    """Return what supervised fine-tuning on weak labels depends on."""
    name = f"student_sft/{target}/{scenario}/{weak}/{strong}/{supervision}/seed{seed}"
    conflict = SFT_CONFLICTS[supervision]
    mixture = _mixture_quirks(config, conflict, variant)
    quirks = _label_quirks(config, config.scenarios[scenario], variant) | mixture
    return _training(config, strong, None, name, quirks, conflict, _student(config, variant))


def weak_to_strong(config: Config, cell: Cell) -> str:
    """Return what a weak-to-strong training depends on.

    The seed's name leaves conflict and variant out: students that differ only in their conflict
    start from the same head and see the pairs in the same order, so their difference is the
    conflict's. Variants start from the same head too.
    """
    place = f"{cell.target}/{cell.scenario}/{cell.weak}/{cell.strong}"
    name = f"weak_to_strong/{place}/seed{cell.seed}"
    against = config.conflicts[cell.conflict]
    quirks = _student_quirks(config, cell)
    student = _student(config, cell.variant)
    return _training(config, cell.strong, cell.scenario, name, quirks, against, student)


def readout(config: Config, scenario: str) -> str:
    """Return what scoring pairs with a trained model depends on."""
    return ReadoutSettings(**_readout(config, config.scenarios[scenario])).text()


def _readout(config: Config, method: Scenario) -> dict[str, Any]:
    return {
        "objective": method.kind,
        "max_length": config.training.max_length,
        "compat": _compat(config, method.score_quirks | method.label_quirks),
    }


def weak_labels(config: Config, scenario: str) -> str:
    """Return what weak labels depend on: the readout, and what scales margins to confidences."""
    method = config.scenarios[scenario]
    return LabelSettings(**_readout(config, method), beta=method.confidence_scale).text()


def features(config: Config) -> str:
    """Return what the features of a linear probe's texts depend on: where they are cut and read."""
    return _texts(config, RewardModel.score_quirks)


def reference(config: Config) -> str:
    """Return what reference log-probabilities depend on."""
    return _texts(config, Sft.score_quirks)


def _texts(config: Config, quirks: frozenset[str]) -> str:
    compat = _compat(config, quirks)
    return TextSettings(max_length=config.training.max_length, compat=compat).text()


def probe(config: Config, cell: Cell) -> str:
    """Return what a probe depends on: its cell, and how margins become figures.

    The compatibility switches are those on which its margins depend, for the record.
    """
    method = config.scenarios[cell.scenario]
    student = students(config)[cell.variant]
    quirks = method.score_quirks | _student_quirks(config, cell)
    return ProbeSettings(
        target=cell.target,
        scenario=cell.scenario,
        weak=cell.weak,
        strong=cell.strong,
        conflict=cell.conflict,
        student=student.name,
        seed=cell.seed,
        beta=method.confidence_scale,
        compat=_compat(config, quirks),
        **_apart(method, student),
        **_without_adapters(config, cell.strong),
        **config.probe.model_dump(),
    ).text()


def _apart(method: Scenario, student: Student) -> dict[str, Any]:
    """Return, for a probe's record, what is not so for whole models and direct students."""
    apart: dict[str, Any] = {"linear_probe": True} if method.trains_head_alone else {}
    if student.name != DIRECT:
        apart |= student.model_dump(mode="json", include={"filter", "through"})
    if more := student.model_dump(mode="json", exclude={"name", "filter", "through"}):
        apart["student_settings"] = more
    return apart


def _without_adapters(config: Config, strong: str) -> dict[str, str]:
    """Return, for a probe's record, the model that ``strong`` is but for its adapters."""
    besides = {"lora", "learning_rates", *EXECUTION_KNOBS}
    adapted = config.models[strong].model_dump(exclude=besides)
    whole = [
        name
        for name in config.matrix.trained_models
        if not config.models[name].lora
        and config.models[name].model_dump(exclude=besides) == adapted
    ]
    return {"lora_of": whole[0]} if config.models[strong].lora and whole else {}


def page(config: Config) -> str:
    """Return what the report's page says of the configuration: all that a result depends on."""
    models = config.matrix.trained_models
    given = config.model_dump(exclude_none=True, exclude={"execution", "data_root"})
    if stored := _stored(config):
        given["training"]["checkpoint_dtype"] = stored
    return PageSettings(
        **{
            name: given[name]
            for name in ("matrix", "scenarios", "sft", "training", "compat", "probe")
        },
        targets={name: given["targets"][name] for name in config.matrix.targets},
        conflicts={
            name: conflict
            for name, conflict in given["conflicts"].items()
            if name in (*config.matrix.all_conflicts, PLACEBO)
        },
        models={
            name: model.model_dump(exclude_none=True, exclude=set(EXECUTION_KNOBS))
            for name, model in config.models.items()
            if name in models
        },
    ).text()
