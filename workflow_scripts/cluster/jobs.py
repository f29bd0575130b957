"""Which jobs need a GPU: which model each uses, and how many tokens it goes through."""

from dataclasses import dataclass

from workflow_scripts.cluster import tokens
from workflow_scripts.cluster.tokens import Tokens
from workflow_scripts.config import paths


@dataclass(frozen=True)
class Job:
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
    f"{paths.PRETRAINING}/train.json": Job("model", tokens.pretrain, paths.PRETRAINING, True),
    f"{paths.SFT}/train.json": Job("model", tokens.sft, paths.SFT, True),
    f"{paths.GROUND_TRUTH}/train.json": Job("model", tokens.ground_truth, paths.GROUND_TRUTH, True),
    f"{paths.STUDENT_SFT}/train.json": Job("strong", tokens.student_sft, paths.STUDENT_SFT, True),
    f"{paths.WEAK_TO_STRONG}/train.json": Job(
        "strong", tokens.weak_to_strong, paths.WEAK_TO_STRONG, True
    ),
    paths.FEATURES: Job("model", tokens.features, paths.FEATURES.removesuffix(".parquet")),
    paths.SFT_REFERENCE: Job("model", tokens.scoring("gt", "weak", "test"), paths.SFT),
    paths.STUDENT_REFERENCE: Job("strong", tokens.student_reference, paths.STUDENT_SFT),
    paths.LABELLING_REFERENCE: Job("strong", tokens.labelled_by_student, paths.STUDENT_SFT),
    paths.CEILING_PREDICTIONS: Job("model", tokens.scoring("test"), paths.GROUND_TRUTH),
    paths.STUDENT_PREDICTIONS: Job("strong", tokens.scoring("test"), paths.WEAK_TO_STRONG),
    paths.WEAK_LABELS: Job("model", tokens.scoring("weak"), paths.GROUND_TRUTH),
    paths.STUDENT_LABELS: Job(
        "strong",
        tokens.labelled_by_student,
        paths.filled(paths.WEAK_TO_STRONG, conflict="none"),
    ),
}
"""Every job that needs a GPU, by the template of its output.

Of a training's several outputs its record, ``train.json``, stands for it.
"""
