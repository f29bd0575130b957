"""How many tokens each job goes through at most: its time limit and its cost follow from it.

One function for each rule, named after it, of the configuration and the fields of the path that the
job makes. They count every text at its greatest length, so they are upper bounds; sets may also
turn out smaller than they are asked to be.
"""

from collections.abc import Callable, Mapping

from workflow_scripts.config.experiment import Config
from workflow_scripts.config.matrix import students
from workflow_scripts.methods.conflicts.conflict import Conflict
from workflow_scripts.methods.conflicts.registry import SFT_CONFLICTS
from workflow_scripts.methods.students.student import Student

Fields = Mapping[str, str]
Tokens = Callable[[Config, Fields], int]


def pretrain(config: Config, fields: Fields) -> int:
    """Return the tokens of pretraining a model here."""
    section = config.models[fields["model"]].pretrain
    assert section is not None, f"{fields['model']} is not pretrained here"
    return section.steps * section.batch_size * section.sequence_length


def sft(config: Config, fields: Fields) -> int:
    """Return the tokens of supervised fine-tuning on the true labels, one text a pair."""
    pairs = _pairs(config, fields, "gt")
    return pairs * config.sft.epochs * config.training.max_length


def ground_truth(config: Config, fields: Fields) -> int:
    """Return the tokens of a ground-truth training."""
    return _texts(config, _pairs(config, fields, "gt")) * _epochs(config, fields)


def student_sft(config: Config, fields: Fields) -> int:
    """Return the tokens of supervised fine-tuning on weak labels, one text a pair."""
    pairs = _student_pairs(config, fields, SFT_CONFLICTS[fields["supervision"]])
    return pairs * config.sft.epochs * config.training.max_length


def weak_to_strong(config: Config, fields: Fields) -> int:
    """Return the tokens of a weak-to-strong training."""
    pairs = _student_pairs(config, fields, config.conflicts[fields["conflict"]])
    return _texts(config, pairs) * _epochs(config, fields)


def scoring(*sets: str) -> Tokens:
    """Return a function that counts the tokens of scoring these sets of a target."""

    def count(config: Config, fields: Fields) -> int:
        return _scored(config, fields, *sets)

    return count


def features(config: Config, fields: Fields) -> int:
    """Return the tokens of reading a linear probe's features of one set."""
    return _scored(config, fields, fields["set"])


def student_reference(config: Config, fields: Fields) -> int:
    """Return the tokens of scoring what students are trained on and read out on."""
    mixed = ["helpful"] if SFT_CONFLICTS[fields["supervision"]].mixes_helpful else []
    return _scored(config, fields, _student(config, fields).trained_on, "test", *mixed)


def labelled_by_student(config: Config, fields: Fields) -> int:
    """Return the tokens of scoring the set that a student labels for the next of a chain."""
    return _scored(config, fields, _student(config, fields).labels)


def _scored(config: Config, fields: Fields, *sets: str) -> int:
    return _texts(config, sum(_pairs(config, fields, name) for name in sets))


def _texts(config: Config, pairs: int) -> int:
    """Return the tokens of so many pairs, two texts each."""
    return 2 * pairs * config.training.max_length


def _pairs(config: Config, fields: Fields, name: str) -> int:
    return getattr(config.targets[fields["target"]].sets, name).size


def _epochs(config: Config, fields: Fields) -> int:
    return config.scenarios[fields["scenario"]].epochs


def _student(config: Config, fields: Fields) -> Student:
    return students(config)[fields["variant"]]


def _student_pairs(config: Config, fields: Fields, conflict: Conflict) -> int:
    labelled = _pairs(config, fields, _student(config, fields).trained_on)
    helpful = _pairs(config, fields, "helpful") if conflict.mixes_helpful else 0
    return conflict.pairs_per_epoch(labelled, labelled + helpful)
