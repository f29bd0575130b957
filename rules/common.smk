import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from workflow_scripts import warm
from workflow_scripts.config import data, experiment, layers, matrix
from workflow_scripts.core import names
from workflow_scripts.core.errors import UserError
from workflow_scripts.methods.conflicts.registry import SFT_CONFLICTS
from workflow_scripts.methods.students import chains
from workflow_scripts.report import tables as report_tables
from workflow_scripts.report import figure_list as report_figures
from workflow_scripts.reruns import digests, provenance, slices

# Shell commands find this environment's Python (a conda environment, where asked for, comes first)
# and this checkout's scripts, from whatever folder the workflow is run in.
os.environ.update(
    PATH=os.pathsep.join([os.path.dirname(sys.executable), os.getenv("PATH", os.defpath)]),
    PYTHONPATH=workflow.basedir,
)

try:
    LAYERS = layers.read_layers(
        [f"{workflow.basedir}/config.yaml", *workflow.overwrite_configfiles],
        workflow.config_settings.config,
    )
    EXPERIMENT = experiment.load(LAYERS)
except UserError as error:
    raise WorkflowError(str(error))

CELLS = matrix.cells(EXPERIMENT)
STUDENTS = matrix.students(EXPERIMENT)
EXECUTION = EXPERIMENT.execution
# What of the code each stage uses: a param, so that a change to it reruns the stage (docs/reruns.md).
CODE = digests.Code(
    f"{workflow.basedir}/workflow_scripts", with_versions=EXPERIMENT.strict_environment
)
if workflow.is_main_process and (other_versions := provenance.warning()):
    logger.warning(other_versions)

# The folder of every training, by its wildcards.
SFT = "results/sft/{target}/{model}/seed{seed}"
# `variant` is empty for direct students, and a slash and the student's name for others.
STUDENT_SFT = (
    "results/student_sft/{target}/{scenario}/{weak}/{strong}/{supervision}{variant}/seed{seed}"
)
GROUND_TRUTH = "results/ground_truth/{target}/{scenario}/{model}/seed{seed}"
WEAK_TO_STRONG = (
    "results/weak_to_strong/{target}/{scenario}/{weak}/{strong}/{conflict}{variant}/seed{seed}"
)
WEAK_LABELS = "results/weak_labels/{target}/{scenario}/{model}/seed{seed}.parquet"
FEATURES = "results/features/{target}/{model}/{set}.parquet"
STUDENT_LABELS = (
    "results/student_labels/{target}/{scenario}/{weak}/{strong}{variant}/seed{seed}.parquet"
)
PROBE = "results/probes/{target}/{scenario}/{weak}/{strong}/{conflict}{variant}/seed{seed}.json"
INSPECTION = "results/inspect/{target}/{scenario}/{weak}/{strong}/{conflict}{variant}/seed{seed}"


def one_of(names):
    """Return a wildcard constraint: one of these names, and nothing where there are none."""
    return f"(?:{'|'.join(map(re.escape, names))})" if names else "(?!)"


wildcard_constraints:
    target=names.NAME,
    model=names.NAME,
    weak=names.NAME,
    strong=names.NAME,
    world=names.NAME,
    corpus=names.NAME,
    conflict=names.NAME,
    scenario=one_of(EXPERIMENT.scenarios),
    variant=one_of(STUDENTS),
    supervision=one_of(SFT_CONFLICTS),
    seed=r"\d+",


def slice_for(stage, *names):
    """Return a params function: the part of the configuration that ``stage`` depends on."""
    return lambda wildcards: stage(EXPERIMENT, *(wildcards[name] for name in names))


def files_in(folder):
    """Return a folder's files: a file that is written over leaves its folder's time as it was."""
    found = (os.path.join(place, file) for place, _, files in os.walk(folder) for file in files)
    return sorted(found)


def source_files(wildcards):
    """Return the local files that a target's sets are read from."""
    sets = EXPERIMENT.targets[wildcards.target].sets
    local = [slices.local_file(EXPERIMENT, getattr(sets, name).source, name) for name in data.SETS]
    return [file for path in local if path for file in [path, *files_in(path)]]


def models_by(origin):
    """Return the names of the models that are had in one way: `id`, `path`, `package`, `pretrain`."""
    return [name for name, model in EXPERIMENT.models.items() if getattr(model, origin)]


def model_folder(wildcards):
    """Return the local folder that a model is copied from."""
    return os.path.join(EXPERIMENT.data_root, EXPERIMENT.models[wildcards.model].path)


def corpus_texts(wildcards):
    """Return what a corpus is made of: a world's encyclopedia, or a target's training sets."""
    corpus = EXPERIMENT.corpora[wildcards.corpus]
    if corpus.world:
        return f"results/worlds/{corpus.world}/corpus.parquet"
    return collect("results/data/{target}/{set}.parquet", target=corpus.target, set=corpus.sets)


def corpus_of(wildcards):
    """Return the folder of the corpus that a model is pretrained on."""
    return f"results/corpora/{EXPERIMENT.models[wildcards.model].pretrain.corpus}"


def scenario_of(wildcards):
    """Return the scenario of a job, None for one that serves several."""
    return EXPERIMENT.scenarios.get(wildcards.get("scenario"))


def starts_from_base(wildcards):
    """Return whether training starts from the base model rather than from its SFT."""
    return not scenario_of(wildcards).from_sft


def is_linear_probe(wildcards):
    """Return whether a reward head alone is trained, on features of a frozen model."""
    scenario = scenario_of(wildcards)
    return scenario is not None and scenario.trains_head_alone


def for_linear_probes(features):
    """Return an input: these features where a reward head alone is trained, and nothing elsewhere."""
    if not any(scenario.trains_head_alone for scenario in EXPERIMENT.scenarios.values()):
        return []
    return branch(is_linear_probe, then=features, otherwise=[])


def has_reference(wildcards):
    """Return whether margins are relative to a reference model."""
    return scenario_of(wildcards).has_reference


def conflict_of(wildcards):
    """Return the conflict that a student, or the SFT model it starts from, is trained under."""
    if "supervision" in wildcards.keys():
        return SFT_CONFLICTS[wildcards.supervision]
    return EXPERIMENT.conflicts[wildcards.conflict]


def is_mixture(wildcards):
    """Return whether supervision mixes the competing goal's pairs in."""
    return conflict_of(wildcards).mixes_helpful


def student_pairs(wildcards):
    """Return the set that a student is trained on."""
    return f"results/data/{wildcards.target}/{STUDENTS[wildcards.variant].trained_on}.parquet"


def supervising_labels(wildcards):
    """Return the labels of that set: by the weak model, or by the last of a chain of students."""
    student = STUDENTS[wildcards.variant]
    if not student.through:
        return WEAK_LABELS.format(model=wildcards.weak, **wildcards)
    supervisor = chains.supervisor(student, STUDENTS.values())
    names = {"strong": student.through[-1], "variant": supervisor.folder}
    return STUDENT_LABELS.format(**dict(wildcards) | names)


def labelled_by_student(wildcards):
    """Return the set that a student labels for the next of a chain."""
    return f"results/data/{wildcards.target}/{STUDENTS[wildcards.variant].labels}.parquet"


def student_features(wildcards):
    """Return the features of the sets that a linear probe is trained on."""
    sets = [STUDENTS[wildcards.variant].trained_on]
    if is_mixture(wildcards):
        sets.append("helpful")
    return collect(FEATURES, target=wildcards.target, model=wildcards.strong, set=sets)


def features_labelled_by_student(wildcards):
    """Return the features of the set that a linear probe labels for the next of a chain."""
    labels = STUDENTS[wildcards.variant].labels
    return FEATURES.format(target=wildcards.target, model=wildcards.strong, set=labels)


def student_reference_pairs(wildcards):
    """Return the sets on which an SFT model is the reference of DPO students."""
    yield student_pairs(wildcards)
    yield f"results/data/{wildcards.target}/test.parquet"
    if is_mixture(wildcards):
        yield f"results/data/{wildcards.target}/helpful.parquet"


def student_sft_folder(wildcards):
    """Return the folder of the SFT model that a SimPO or DPO student starts from."""
    return STUDENT_SFT.format(supervision=conflict_of(wildcards).supervision, **wildcards)


def student_base(wildcards):
    """Return the model that a student starts from."""
    if starts_from_base(wildcards):
        return f"results/models/{wildcards.strong}"
    return f"{student_sft_folder(wildcards)}/checkpoint"


def student_reference(wildcards):
    """Return the reference log-probabilities of a DPO student, and nothing for another."""
    return f"{student_sft_folder(wildcards)}/reference.parquet" if has_reference(wildcards) else []


def second_weak(wildcards):
    """Return the weak ceiling of the seed before this one, and nothing for the first seed.

    The seed before, so that a seed added to the list changes no finished probe.
    """
    seeds = EXPERIMENT.matrix.seeds
    place = seeds.index(int(wildcards.seed)) if int(wildcards.seed) in seeds else 0
    if place == 0:
        return []
    folder = GROUND_TRUTH.format(
        **dict(wildcards) | {"model": wildcards.weak, "seed": seeds[place - 1]}
    )
    return f"{folder}/predictions.parquet"


def beside_checkpoints(name):
    """Return an input function: this file of every ceiling and student, without their SFT."""

    def files(wildcards):
        students = {f"{WEAK_TO_STRONG}/{name}".format(**cell._asdict()) for cell in CELLS}
        ceilings = {
            f"{GROUND_TRUTH}/{name}".format(model=model, **cell._asdict())
            for cell in CELLS
            for model in (cell.weak, cell.strong)
        }
        return sorted(students | ceilings)

    return files


def captioned(path, caption, category, **labels):
    """Return an output that `snakemake --report` shows."""
    return report(path, caption=f"captions/{caption}.rst", category=category, labels=labels)


def figure_files():
    """Return the report's figures of one target: SVG in Snakemake's report too, PNG beside it."""
    folder = "results/report/figures"
    for name, title in report_figures.FIGURES.items():
        yield captioned(
            f"{folder}/{name}_{{target}}.svg", name, "Figures", figure=title, target="{target}"
        )
        yield f"{folder}/{name}_{{target}}.png"


def table_files():
    """Return the report's tables: Markdown in Snakemake's report too, LaTeX beside it."""
    for name in report_tables.TABLES:
        yield captioned(f"results/report/tables/{name}.md", f"table_{name}", "Tables", table=name)
        yield f"results/report/tables/{name}.tex"
