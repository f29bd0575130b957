"""How many tokens each stage goes through at most: its time limit and its cost follow from it.

Functions are named after the rules. They count every text at its greatest length, so they are upper
bounds; sets may also turn out smaller than they are asked to be.
"""

from workflow_scripts.config.experiment import Config
from workflow_scripts.config.matrix import students
from workflow_scripts.methods.conflicts.conflict import Conflict
from workflow_scripts.methods.conflicts.registry import SFT_CONFLICTS


def pretrain(config: Config, model: str) -> int:
    """Return the tokens of pretraining a model here."""
    section = config.models[model].pretrain
    assert section is not None, f"{model} is not pretrained here"
    return section.steps * section.batch_size * section.sequence_length


def sft(config: Config, target: str) -> int:
    """Return the tokens of supervised fine-tuning on the true labels, one text a pair."""
    return _pairs(config, target, "gt") * config.sft.epochs * config.training.max_length


def ground_truth(config: Config, target: str, scenario: str) -> int:
    """Return the tokens of a ground-truth training."""
    epochs = config.scenarios[scenario].epochs
    return texts(config, _pairs(config, target, "gt")) * epochs


def student_sft(config: Config, target: str, supervision: str, variant: str) -> int:
    """Return the tokens of supervised fine-tuning on weak labels, one text a pair."""
    pairs = _student_pairs(config, target, SFT_CONFLICTS[supervision], variant)
    return pairs * config.sft.epochs * config.training.max_length


def weak_to_strong(config: Config, target: str, scenario: str, conflict: str, variant: str) -> int:
    """Return the tokens of a weak-to-strong training."""
    pairs = _student_pairs(config, target, config.conflicts[conflict], variant)
    return texts(config, pairs) * config.scenarios[scenario].epochs


def scoring(config: Config, target: str, *sets: str) -> int:
    """Return the tokens of scoring some of a target's sets."""
    return texts(config, sum(_pairs(config, target, name) for name in sets))


def texts(config: Config, pairs: int) -> int:
    """Return the tokens of so many pairs, two texts each."""
    return 2 * pairs * config.training.max_length


def _pairs(config: Config, target: str, name: str) -> int:
    return getattr(config.targets[target].sets, name).size


def _student_pairs(config: Config, target: str, conflict: Conflict, variant: str) -> int:
    labelled = _pairs(config, target, students(config)[variant].trained_on)
    helpful = _pairs(config, target, "helpful") if conflict.mixes_helpful else 0
    return conflict.pairs_per_epoch(labelled, labelled + helpful)
