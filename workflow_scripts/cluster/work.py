"""What each file under results/ costs to make: the work that ``plan`` and ``preflight`` add up.

Paths are those of DESIGN section 3; this module reads them back.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath

from workflow_scripts.cluster import hardware
from workflow_scripts.cluster import tokens as token_counts
from workflow_scripts.config import matrix
from workflow_scripts.config.experiment import Config
from workflow_scripts.config.matrix import Cell
from workflow_scripts.methods.students.chains import supervisor

CHECKPOINT_BYTES = 4
"""Of each weight: checkpoints are float32."""


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
    """

    folder: str
    model: str
    trains: bool
    tokens: int
    gpus: int
    seconds: float


def of(config: Config, path: str) -> Work | None:
    """Return the work that makes an output, or None for what needs no GPU.

    Of a training's several outputs its record, ``train.json``, stands for it.
    """
    parts = PurePath(path).parts
    folder = "/".join(parts[:-1])
    match parts[1:]:
        case ["pretraining", model, "train.json"]:
            return _training(config, folder, model, token_counts.pretrain(config, model))
        case ["sft", target, model, _, "train.json"]:
            return _training(config, folder, model, token_counts.sft(config, target))
        case ["ground_truth", target, scenario, model, _, "train.json"]:
            tokens = token_counts.ground_truth(config, target, scenario)
            return _training(config, folder, model, tokens)
        case ["student_sft", target, _, _, strong, supervision, *student, _, "train.json"]:
            tokens = token_counts.student_sft(config, target, supervision, _variant(student))
            return _training(config, folder, strong, tokens)
        case ["weak_to_strong", target, scenario, _, strong, conflict, *student, _, "train.json"]:
            tokens = token_counts.weak_to_strong(
                config, target, scenario, conflict, _variant(student)
            )
            return _training(config, folder, strong, tokens)
        case ["features", target, model, file]:
            name = PurePath(file).stem
            return _reading(config, f"{folder}/{name}", model, target, name)
        case ["sft", target, model, _, "reference.parquet"]:
            return _reading(config, folder, model, target, "gt", "weak", "test")
        case ["student_sft", target, _, _, strong, _, *_, file] if "reference" in file:
            return _reading(config, folder, strong, target, "weak", "test")
        case ["ground_truth", target, _, model, _, "predictions.parquet"]:
            return _reading(config, folder, model, target, "test")
        case ["weak_to_strong", target, _, _, strong, _, *_, "predictions.parquet"]:
            return _reading(config, folder, strong, target, "test")
        case ["weak_labels", target, scenario, model, file]:
            folder = f"results/ground_truth/{target}/{scenario}/{model}/{PurePath(file).stem}"
            return _reading(config, folder, model, target, "weak")
        case ["student_labels", target, scenario, weak, strong, *student, file]:
            names = "/".join([target, scenario, weak, strong, "none", *student])
            folder = f"results/weak_to_strong/{names}/{PurePath(file).stem}"
            return _reading(config, folder, strong, target, "weak")
    return None


def trainings_of(config: Config, cell: Cell) -> Iterator[str]:
    """Yield the folders of all trainings that a cell rests on, but for pretraining."""
    for model in (cell.weak, cell.strong):
        if config.scenarios[cell.scenario].from_sft:
            yield f"results/sft/{cell.target}/{model}/seed{cell.seed}"
        yield f"results/ground_truth/{cell.target}/{cell.scenario}/{model}/seed{cell.seed}"
    yield from _student(config, cell)


def checkpoint_bytes(config: Config, model: str) -> int:
    """Return the size of a model's checkpoint."""
    return CHECKPOINT_BYTES * hardware.shape_of(config.models[model]).params


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
    if student.through:
        before = supervisor(student, students.values())
        last = cell._replace(strong=student.through[-1], conflict="none", variant=before.folder)
        yield from _student(config, last)
    place = f"{cell.target}/{cell.scenario}/{cell.weak}/{cell.strong}"
    if config.scenarios[cell.scenario].from_sft:
        supervision = config.conflicts[cell.conflict].supervision
        yield f"results/student_sft/{place}/{supervision}{cell.variant}/seed{cell.seed}"
    yield f"results/weak_to_strong/{place}/{cell.conflict}{cell.variant}/seed{cell.seed}"


def _variant(student: list[str]) -> str:
    return f"/{student[0]}" if student else ""


def _training(config: Config, folder: str, model: str, tokens: int) -> Work:
    gpus = hardware.request(config, model, tokens=tokens).gpu
    seconds = hardware.training_seconds(config, model, tokens)
    return Work(folder, model, True, tokens, gpus, seconds)


def _reading(config: Config, folder: str, model: str, target: str, *sets: str) -> Work:
    tokens = token_counts.scoring(config, target, *sets)
    gpus = hardware.scoring(config, model, tokens=tokens).gpu
    return Work(folder, model, False, tokens, gpus, hardware.scoring_seconds(config, model, tokens))
