"""How many tokens each job goes through: its cost follows from it, and its time limit.

One function for each rule, named after it, of the sizes of all sets and the fields of the path that
the job makes. Sets that are not prepared count at their greatest length, which is an upper bound;
sets may also turn out smaller than they are asked to be.
"""

from collections.abc import Callable, Mapping

from workflow_scripts.cluster.texts import Texts
from workflow_scripts.config.matrix import students
from workflow_scripts.methods.conflicts.conflict import Conflict
from workflow_scripts.methods.conflicts.registry import SFT_CONFLICTS
from workflow_scripts.methods.students.student import Student

Fields = Mapping[str, str]
Tokens = Callable[[Texts, Fields], int]


def pretrain(texts: Texts, fields: Fields) -> int:
    """Return the tokens of pretraining a model here."""
    section = texts.config.models[fields["model"]].pretrain
    assert section is not None, f"{fields['model']} is not pretrained here"
    return section.steps * section.batch_size * section.sequence_length


def sft(texts: Texts, fields: Fields) -> int:
    """Return the tokens of supervised fine-tuning on the true labels, one text a pair."""
    return texts.chosen(fields["target"], "gt") * texts.config.sft.epochs


def ground_truth(texts: Texts, fields: Fields) -> int:
    """Return the tokens of a ground-truth training."""
    return texts.both(fields["target"], "gt") * _epochs(texts, fields)


def student_sft(texts: Texts, fields: Fields) -> int:
    """Return the tokens of supervised fine-tuning on weak labels, one text a pair."""
    conflict = SFT_CONFLICTS[fields["supervision"]]
    return _student_tokens(texts, fields, conflict, texts.chosen) * texts.config.sft.epochs


def weak_to_strong(texts: Texts, fields: Fields) -> int:
    """Return the tokens of a weak-to-strong training."""
    conflict = texts.config.conflicts[fields["conflict"]]
    return _student_tokens(texts, fields, conflict, texts.both) * _epochs(texts, fields)


def scoring(*sets: str) -> Tokens:
    """Return a function that counts the tokens of scoring these sets of a target."""

    def count(texts: Texts, fields: Fields) -> int:
        return _scored(texts, fields, *sets)

    return count


def features(texts: Texts, fields: Fields) -> int:
    """Return the tokens of reading a linear probe's features of one set."""
    return _scored(texts, fields, fields["set"])


def student_reference(texts: Texts, fields: Fields) -> int:
    """Return the tokens of scoring what students are trained on and read out on."""
    mixed = ["helpful"] if SFT_CONFLICTS[fields["supervision"]].mixes_helpful else []
    return _scored(texts, fields, _student(texts, fields).trained_on, "test", *mixed)


def labelled_by_student(texts: Texts, fields: Fields) -> int:
    """Return the tokens of scoring the set that a student labels for the next of a chain."""
    return _scored(texts, fields, _student(texts, fields).labels)


def _scored(texts: Texts, fields: Fields, *sets: str) -> int:
    return sum(texts.both(fields["target"], name) for name in sets)


def _epochs(texts: Texts, fields: Fields) -> int:
    return texts.config.scenarios[fields["scenario"]].epochs


def _student(texts: Texts, fields: Fields) -> Student:
    return students(texts.config)[fields["variant"]]


def _student_tokens(
    texts: Texts, fields: Fields, conflict: Conflict, of: Callable[[str, str], int]
) -> int:
    """Return the tokens of an epoch: of the pairs that are drawn from all that are mixed."""
    target, labelled = fields["target"], _student(texts, fields).trained_on
    sets = [labelled, "helpful"] if conflict.mixes_helpful else [labelled]
    pairs = [texts.pairs(target, name) for name in sets]
    drawn = conflict.pairs_per_epoch(pairs[0], sum(pairs))
    return sum(of(target, name) for name in sets) * drawn // sum(pairs)
