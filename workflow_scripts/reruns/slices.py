"""Which part of the configuration each stage's result depends on.

Every rule carries its slice as a param, so Snakemake reruns a job exactly when its slice, its input
files or its command changes. Execution knobs (micro-batch, threads, partitions, logging) never
enter a slice. One function a stage; each returns canonical JSON.
"""

import os
from typing import Any

from workflow_scripts.config.conflicts import SFT_CONFLICTS
from workflow_scripts.config.data import SETS, Source
from workflow_scripts.config.experiment import Config
from workflow_scripts.config.matrix import students
from workflow_scripts.config.models import EXECUTION_KNOBS
from workflow_scripts.config.students import DIRECT
from workflow_scripts.core.files import canonical_json

_SCORING_QUIRKS = {
    "reward_model": {"reward_pooling"},
    "sft": {"bos_in_response"},
    "simpo": {"bos_in_response"},
    "dpo": {"bos_in_response"},
}
"""Compatibility switches on which the score of a text depends, by objective."""


def world(config: Config, name: str) -> str:
    """Return what a generated world depends on: its own section."""
    return canonical_json(config.worlds[name].model_dump())


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
        if not source["columns"]:
            del source["columns"]
        sets[name] = {"size": pair_set.size, "source": source}
    return canonical_json(
        {"target": target, "seed": section.seed, "max_bad": section.max_bad, "sets": sets}
    )


def local_file(config: Config, source: Source, set_name: str) -> str | None:
    """Return the file or folder that a set is read from, or None where that is the hub."""
    if source.world:
        return f"results/worlds/{source.world}/{set_name}.jsonl"
    return os.path.join(config.data_root, source.path) if source.path else None


def base_model(config: Config, name: str) -> str:
    """Return what a fetched or copied base model depends on: where it comes from."""
    section = config.models[name]
    origin = section.model_dump(include={"id", "revision", "path", "pickled_weights"})
    return canonical_json(
        origin | section.model_dump(include={"package", "depth"}, exclude_none=True)
    )


def tokenizer(config: Config, corpus: str) -> str:
    """Return what a corpus's tokenizer depends on: its section, a world as the file it makes.

    The order of a target's sets is that of the texts, which Snakemake's list of inputs is without.
    """
    section = config.corpora[corpus]
    sets = {} if section.world else {"sets": section.sets}
    return canonical_json(section.tokenizer.model_dump() | sets)


def pretrain(config: Config, name: str) -> str:
    """Return what a pretrained base model depends on: its shape, its budget and its own name."""
    model = config.models[name]
    section = model.pretrain
    assert section is not None, f"rule pretrain is constrained to pretrained models, not {name}"
    depth = model.model_dump(include={"depth"}, exclude_none=True)
    return canonical_json(
        section.model_dump(exclude={"corpus"}) | {"seed": f"models/{name}"} | depth
    )


def _training(config: Config, objective: str, seed: str, *quirks: str) -> dict[str, Any]:
    section = config.sft if objective == "sft" else getattr(config.scenarios, objective)
    return {
        **section.model_dump(),
        **config.training.model_dump(),
        "compat": _compat(config, objective, *quirks),
        "objective": objective,
        "seed": seed,
    }


def _compat(config: Config, objective: str, *more: str) -> dict[str, str]:
    """Return the switches that matter to ``objective``'s scores, and ``more``."""
    return config.compat.model_dump(include=_SCORING_QUIRKS[objective] | set(more))


def _label_quirks(config: Config, scenario: str, variant: str) -> list[str]:
    """Return the switches that matter to the labels a student is trained on."""
    quirks = ["dpo_weak_labels"] if scenario == "dpo" else []
    if students(config)[variant].filter is not None:
        quirks.append("filter_peek")
    return quirks


def _student_quirks(config: Config, scenario: str, conflict: str, variant: str) -> list[str]:
    """Return the switches that matter to a student, beside those of its scores."""
    quirks = _label_quirks(config, scenario, variant)
    kind = config.conflicts[conflict].kind
    if scenario == "dpo" and kind == "explicit":
        quirks.append("explicit_trigger")
    return quirks + _step_quirks(kind)


def _step_quirks(kind: str) -> list[str]:
    """Return the switch that matters to the number of steps under a kind of conflict, if any."""
    return ["implicit_steps"] if kind == "implicit_matched" else []


def sft(config: Config, target: str, model: str, seed: str) -> str:
    """Return what supervised fine-tuning on the true labels depends on."""
    return canonical_json(_training(config, "sft", f"sft/{target}/{model}/seed{seed}"))


def ground_truth(config: Config, target: str, scenario: str, model: str, seed: str) -> str:
    """Return what a ground-truth training depends on."""
    name = f"ground_truth/{target}/{scenario}/{model}/seed{seed}"
    return canonical_json(_training(config, scenario, name))


def _student(config: Config, variant: str) -> dict[str, Any]:
    """Return what sets a student apart from the direct one, which is not spelt out."""
    student = students(config)[variant]
    return {} if student.name == DIRECT else {"student": student.model_dump(mode="json")}


def _probed_student(config: Config, variant: str) -> dict[str, Any]:
    """Return a variant's name and how it is supervised, flat as in a probe's settings."""
    student = _student(config, variant).get("student", {})
    return {"student" if key == "name" else key: value for key, value in student.items()}


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
    conflict = SFT_CONFLICTS[supervision].model_dump()
    quirks = _label_quirks(config, scenario, variant) + _step_quirks(conflict["kind"])
    settings = _training(config, "sft", name, *quirks) | {"conflict": conflict}
    return canonical_json(settings | _student(config, variant))


def weak_to_strong(
    config: Config,
    target: str,
    scenario: str,
    weak: str,
    strong: str,
    conflict: str,
    variant: str,
    seed: str,
) -> str:
    """Return what a weak-to-strong training depends on.

    The seed's name leaves conflict and variant out: students that differ only in their conflict
    start from the same head and see the pairs in the same order, so their difference is the
    conflict's. Variants start from the same head too.
    """
    name = f"weak_to_strong/{target}/{scenario}/{weak}/{strong}/seed{seed}"
    quirks = _student_quirks(config, scenario, conflict, variant)
    settings = _training(config, scenario, name, *quirks) | _student(config, variant)
    return canonical_json(settings | {"conflict": config.conflicts[conflict].model_dump()})


def readout(config: Config, scenario: str) -> str:
    """Return what scoring pairs with a trained model depends on."""
    return canonical_json(_readout(config, scenario))


def _readout(config: Config, scenario: str) -> dict[str, Any]:
    return {
        "objective": scenario,
        "max_length": config.training.max_length,
        "compat": _compat(config, scenario, *(["dpo_weak_labels"] if scenario == "dpo" else [])),
    }


def weak_labels(config: Config, scenario: str) -> str:
    """Return what weak labels depend on: the readout, and DPO's beta for the probability."""
    beta = {"beta": confidence_beta(config, scenario)}
    return canonical_json(_readout(config, scenario) | beta)


def features(config: Config) -> str:
    """Return what the features of a linear probe's texts depend on: where they are cut and read."""
    return canonical_json(
        {"max_length": config.training.max_length, "compat": _compat(config, "reward_model")}
    )


def reference(config: Config) -> str:
    """Return what reference log-probabilities depend on."""
    return canonical_json(
        {"max_length": config.training.max_length, "compat": _compat(config, "sft")}
    )


def confidence_beta(config: Config, scenario: str) -> float | None:
    """Return the factor that turns a margin into a confidence: DPO's beta, else none."""
    return config.scenarios.dpo.beta if scenario == "dpo" else None


def probe(
    config: Config,
    target: str,
    scenario: str,
    weak: str,
    strong: str,
    conflict: str,
    variant: str,
    seed: str,
) -> str:
    """Return what a probe depends on: its cell, and how margins become figures.

    The compatibility switches are those on which its margins depend, for the record.
    """
    return canonical_json(
        {
            "target": target,
            "scenario": scenario,
            "weak": weak,
            "strong": strong,
            "conflict": conflict,
            **({"student": DIRECT} | _probed_student(config, variant)),
            "seed": int(seed),
            "beta": confidence_beta(config, scenario),
            **_linear_probe(config, scenario),
            "compat": _compat(
                config, scenario, *_student_quirks(config, scenario, conflict, variant)
            ),
            **config.probe.model_dump(),
        }
    )


def _linear_probe(config: Config, scenario: str) -> dict[str, Any]:
    """Return, for a probe's record, that heads alone were trained; nothing where they were not."""
    section: Any = getattr(config.scenarios, scenario)
    return section.model_dump(include={"linear_probe"})


def page(config: Config) -> str:
    """Return what the report's page tells of the configuration: all that a result depends on."""
    models = {name for pair in config.matrix.weak_strong for name in pair}
    given = config.model_dump(exclude_none=True, exclude={"execution", "data_root"})
    return canonical_json(
        {
            name: given[name]
            for name in ("matrix", "scenarios", "sft", "training", "compat", "probe")
        }
        | {
            "targets": {name: given["targets"][name] for name in config.matrix.targets},
            "conflicts": {name: given["conflicts"][name] for name in config.matrix.conflicts},
            "models": {
                name: model.model_dump(exclude_none=True, exclude=set(EXECUTION_KNOBS))
                for name, model in config.models.items()
                if name in models
            },
        }
    )
