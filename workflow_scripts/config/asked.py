"""Check what was asked for on the command line, before Snakemake looks for a way to make it."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from workflow_scripts.config import matrix, paths, uses
from workflow_scripts.config.data import SETS
from workflow_scripts.config.experiment import Config
from workflow_scripts.config.messages import nearest
from workflow_scripts.config.uses import Use
from workflow_scripts.core.errors import UserError
from workflow_scripts.methods.conflicts.registry import SFT_CONFLICTS

CHANGES_NO_RESULT = "checks names of files that nothing makes"


def check(asked: Iterable[str], rules: Mapping[str, str], config: Config) -> None:
    """Check that each rule or file that was asked for can be had.

    Args:
        asked: what was typed: names of rules, and paths.
        rules: the template of each rule's first output, by name; empty where it has none.
        config: the experiment.

    Raises:
        UserError: if one is neither, is a rule of many files, or is the path of a result with a
            name that the experiment has not; it says which there are.
    """
    for name in sorted(asked):
        if name in rules:
            _check_rule(name, rules[name], config)
        elif name.startswith(f"{paths.RESULTS}/"):
            _check_result(name, config)
        elif not Path(name).exists():
            whole = [rule for rule, template in rules.items() if "{" not in template]
            raise UserError(f"{name}: neither a rule nor a result{nearest(name, whole)}")


def uses_of(asked: Iterable[str], config: Config) -> dict[str, list[Use]]:
    """Return what may be done with models for what was asked for; nothing asks for all.

    Raises:
        UserError: if no rule makes one of the files.
    """
    found: dict[str, set[Use]] = {}
    for name in asked or ("all",):
        if not name.startswith(f"{paths.RESULTS}/") or name.startswith(f"{paths.REPORT}/"):
            return uses.of_cells(config)
        place = _place(name)
        if place is None:
            continue
        of_place: set[Use] = {uses.of_scenario(config, place.fields.get("scenario", ""))}
        if place.template == paths.FEATURES:
            of_place = {"probe"}
        elif place.template == paths.MODEL or place.template.startswith(f"{paths.PRETRAINING}/"):
            of_place = set()
        for model in _models_of(place, config):
            found.setdefault(model, set()).update(of_place)
    every = {model: uses.with_pretraining(config, model, found[model]) for model in sorted(found)}
    return {model: of_model for model, of_model in every.items() if of_model}


def _models_of(place: paths.Place, config: Config) -> set[str]:
    """Return the models that a result rests on: those of its path, and those of its student."""
    fields = place.fields
    found = {fields[field] for field in _MODELS if field in fields}
    student = matrix.students(config).get(fields.get("variant", ""))
    if student is not None and "strong" in fields:
        found |= uses.models_of(student, fields["weak"], fields["strong"])
    return found & set(config.models)


def _check_rule(rule: str, template: str, config: Config) -> None:
    if "{" not in template:
        return
    cells = matrix.cells(config)
    cell = next((cell for cell in cells if cell.conflict != "none"), cells[0])
    names = {field: next(iter(known), "") for field, known in _known(config).items()}
    names |= {"model": cell.weak, **cell._asdict()}
    example = paths.filled(template, **{field: str(name) for field, name in names.items()})
    raise UserError(f"{rule}: makes many files; ask for one by its path, such as {example}")


def _place(path: str) -> paths.Place | None:
    """Return what the path of a result says, None for what a job took, which is beside them."""
    return None if path.startswith(f"{paths.BENCHMARKS}/") else paths.parse(path.rstrip("/"))


def _check_result(path: str, config: Config) -> None:
    place = _place(path)
    for field, known in _known(config).items():
        name = place.fields.get(field) if place else None
        if name is not None and name not in known:
            name, kind = name.strip("/"), _CALLED.get(field, field)
            others = [one.strip("/") for one in known if one]
            raise UserError(f"{path}: {name!r} is no {kind}{nearest(name, others)}")


_MODELS = ("model", "weak", "strong")
_CALLED = {
    **dict.fromkeys(_MODELS, "model"),
    "variant": "student",
    "supervision": "conflict of supervised fine-tuning",
}
"""What a field of a path is, where that is not its name."""


def _known(config: Config) -> dict[str, Collection[str]]:
    """Return the names that each field of a path may have."""
    return {
        "target": config.targets,
        "scenario": config.scenarios,
        **dict.fromkeys(_MODELS, config.models),
        "conflict": config.conflicts,
        "variant": matrix.students(config),
        "supervision": SFT_CONFLICTS,
        "world": config.worlds,
        "corpus": config.corpora,
        "set": SETS,
    }
