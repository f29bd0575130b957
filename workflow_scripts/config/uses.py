"""What cells do with each model: it is pretrained here, trained, or read for a linear probe."""

import itertools
from typing import Literal

from workflow_scripts.config.experiment import Config
from workflow_scripts.methods.students.student import Student

CHANGES_NO_RESULT = "says what jobs a model has, not what they make"

Use = Literal["pretraining", "training", "probe"]
"""A probe's model is only read, and a reward head trained on its features."""
ORDER: tuple[Use, ...] = ("pretraining", "training", "probe")


def of_scenario(config: Config, scenario: str) -> Use:
    """Return what a scenario does with its models; one that is not defined counts as training."""
    section = config.scenarios.get(scenario)
    return "probe" if section is not None and section.trains_head_alone else "training"


def of_cells(config: Config) -> dict[str, list[Use]]:
    """Return what the cells do with each of their models, by the model's name, in ``ORDER``."""
    found: dict[str, set[Use]] = {}
    for part in config.matrix.products:
        of_part: set[Use] = {of_scenario(config, scenario) for scenario in part.scenarios}
        for (weak, strong), student in itertools.product(part.weak_strong, part.students):
            if student.fits(weak, strong, config.matrix.models or ()):
                for model in models_of(student, weak, strong):
                    found.setdefault(model, set()).update(of_part)
    return {model: with_pretraining(config, model, found[model]) for model in sorted(found)}


def models_of(student: Student, weak: str, strong: str) -> set[str]:
    """Return the models that a student's cell rests on: the pair's, its labellers and its chain."""
    labellers = (model for model, _ in student.labellers(weak, 0))
    return {weak, strong, *labellers, *student.chain(strong)}


def with_pretraining(config: Config, model: str, found: set[Use]) -> list[Use]:
    """Return what is done with a model, in ``ORDER``, and that it is made here if it is."""
    made_here = config.models[model].pretrain is not None
    return [use for use in ORDER if use in found or (use == "pretraining" and made_here)]
