"""Where every result is: the template of each file that a rule makes, and how a path is read back.

The rules format these templates; what plans, checks or takes over results parses paths by them. A
template's fields are the wildcards of the rule that makes the file.
"""

import difflib
import re
from functools import cache
from pathlib import PurePath
from typing import NamedTuple

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.names import NAME

CHANGES_NO_RESULT = "where results are, not what is in them"

RESULTS = "results"
NAMES = f"{RESULTS}/.names/{{names}}.txt"
STATES = f"{RESULTS}/.state"
LOGS = f"{RESULTS}/logs"
CONFIGURATION = f"{LOGS}/configuration.json"
LAST_RUN = f"{LOGS}/last_run.json"
BENCHMARKS = f"{RESULTS}/benchmarks"

WORLD = f"{RESULTS}/worlds/{{world}}"
WORLD_SET = f"{WORLD}/{{set}}.jsonl"
WORLD_CORPUS = f"{WORLD}/corpus.parquet"
DATA = f"{RESULTS}/data/{{target}}"
PAIRS = f"{DATA}/{{set}}.parquet"
DATA_REPORT = f"{DATA}/report.json"
CORPUS = f"{RESULTS}/corpora/{{corpus}}"
MODEL = f"{RESULTS}/models/{{model}}"
PRETRAINING = f"{RESULTS}/pretraining/{{model}}"
FEATURES = f"{RESULTS}/features/{{target}}/{{model}}/{{set}}.parquet"

# The folder of every training. `variant` is empty for direct students, and a slash and the
# student's name for others.
SFT = f"{RESULTS}/sft/{{target}}/{{model}}/seed{{seed}}"
GROUND_TRUTH = f"{RESULTS}/ground_truth/{{target}}/{{scenario}}/{{model}}/seed{{seed}}"
_STUDENT = "{target}/{scenario}/{weak}/{strong}"
_CELL = f"{_STUDENT}/{{conflict}}{{variant}}/seed{{seed}}"
STUDENT_SFT = f"{RESULTS}/student_sft/{_STUDENT}/{{supervision}}{{variant}}/seed{{seed}}"
WEAK_TO_STRONG = f"{RESULTS}/weak_to_strong/{_CELL}"

WEAK_LABELS = f"{RESULTS}/weak_labels/{{target}}/{{scenario}}/{{model}}/seed{{seed}}.parquet"
STUDENT_LABELS = f"{RESULTS}/student_labels/{_STUDENT}{{variant}}/seed{{seed}}.parquet"
SFT_REFERENCE = f"{SFT}/reference.parquet"
STUDENT_REFERENCE = f"{STUDENT_SFT}/reference.parquet"
LABELLING_REFERENCE = f"{STUDENT_SFT}/labelling_reference.parquet"
CEILING_PREDICTIONS = f"{GROUND_TRUTH}/predictions.parquet"
STUDENT_PREDICTIONS = f"{WEAK_TO_STRONG}/predictions.parquet"
PROBE = f"{RESULTS}/probes/{_CELL}.json"
INSPECTION = f"{RESULTS}/inspect/{_CELL}"

REPORT = f"{RESULTS}/report"
CELLS = f"{REPORT}/cells.parquet"
RELIABILITY = f"{REPORT}/reliability.parquet"
FIGURES = f"{REPORT}/figures"
FIGURE = f"{FIGURES}/{{figure}}_{{target}}"
TABLES = f"{REPORT}/tables"

TRAININGS = (PRETRAINING, SFT, STUDENT_SFT, GROUND_TRUTH, WEAK_TO_STRONG)
"""The folder of every training: its record, its metrics and, but for pretraining, its model."""
FILES = (
    *(WORLD_SET, WORLD_CORPUS, PAIRS, DATA_REPORT, MODEL, FEATURES),
    *(f"{CORPUS}/tokenizer", f"{CORPUS}/tokens.npy"),
    *(f"{folder}/{name}" for folder in TRAININGS for name in ("train.json", "metrics.jsonl")),
    *(f"{folder}/checkpoint" for folder in TRAININGS if folder != PRETRAINING),
    *(SFT_REFERENCE, STUDENT_REFERENCE, LABELLING_REFERENCE, WEAK_LABELS, STUDENT_LABELS),
    *(CEILING_PREDICTIONS, STUDENT_PREDICTIONS, PROBE),
    *(f"{INSPECTION}.html", f"{INSPECTION}.parquet"),
    *(CELLS, RELIABILITY, f"{REPORT}/cells.csv", f"{REPORT}/aggregated.csv"),
    *(f"{FIGURE}.{ending}" for ending in ("svg", "png")),
    *(f"{TABLES}/{{table}}.{ending}" for ending in ("md", "tex", "csv")),
    f"{REPORT}/index.html",
)
"""The template of every file and folder that a rule makes."""
_FIELD = r"\{(\w+)\}"
_PATTERNS = {"variant": rf"(?:/{NAME})?", "seed": r"\d+"}
"""What a field may be where that is not a name."""


class Place(NamedTuple):
    """What a path says.

    Attributes:
        template: the item of ``FILES`` that it fits.
        fields: the template's fields, which ``template.format`` takes.
    """

    template: str
    fields: dict[str, str]


def parse(path: str | PurePath) -> Place:
    """Return the template that the path of a result fits, and its fields.

    Raises:
        UserError: if it fits none.
    """
    text = str(path)
    for template in FILES:
        if found := _pattern(template).fullmatch(text):
            return Place(template, found.groupdict())
    kinds = {_kind(template) for template in FILES}
    near = difflib.get_close_matches(_kind(text), kinds, n=1)
    alike = [template for template in FILES if _kind(template) in near]
    close = difflib.get_close_matches(text, alike or FILES, n=1, cutoff=0)[0]
    raise UserError(f"{text}: no rule makes a file of this name; the nearest is {close}")


def filled(template: str, **fields: str) -> str:
    """Return a template with some of its fields put in; the others stay."""
    return re.sub(_FIELD, lambda found: fields.get(found[1], found[0]), template)


def log(rule: str, place: str) -> str:
    """Return the template of a rule's log, which has the fields of the file or folder it makes."""
    return f"{LOGS}/{rule}/{_below_its_kind(place)}.log"


def benchmark(rule: str, place: str) -> str:
    """Return the template of the file with what a rule's job took, as ``log``."""
    return f"{BENCHMARKS}/{rule}/{_below_its_kind(place)}.tsv"


def _below_its_kind(place: str) -> str:
    """Return the part of a path below ``results/`` and the kind of result, without its ending."""
    below = PurePath(place).relative_to(PurePath(RESULTS, _kind(place)))
    return str(below.with_suffix(""))


def _kind(path: str) -> str:
    """Return the folder below ``results/`` that a path or a template is in."""
    return PurePath(path).parts[1] if path.count("/") else ""


@cache
def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(_FIELD, template)
    fields = (f"(?P<{name}>{_PATTERNS.get(name, NAME)})" for name in parts[1::2])
    text = map(re.escape, parts[::2])
    pairs = zip(text, [*fields, ""], strict=True)
    return re.compile("".join(piece for pair in pairs for piece in pair))
