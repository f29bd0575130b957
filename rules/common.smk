import atexit
import os
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.io import strip_wildcard_constraints
from snakemake.logging import logger
from snakemake.persistence.file import FilePersistence
from snakemake.scheduling.job_scheduler import JobScheduler
from snakemake.settings.enums import Quietness

from workflow_scripts import job_progress, terminal, warm
from workflow_scripts.cluster import attempts, command_line, limits, work
from workflow_scripts.config import asked, data, experiment, last_run, layers, matrix, paths
from workflow_scripts.core import names
from workflow_scripts.core.errors import UserError
from workflow_scripts.methods.conflicts.registry import SFT_CONFLICTS
from workflow_scripts.methods.students import chains
from workflow_scripts.report.figure_list import FIGURES
from workflow_scripts.reruns import digests, provenance, slices
from workflow_scripts.runtime import environment, stopping, takeover
from workflow_scripts.training import finished


def on_a_path(folder):
    """Return a folder as PATH and PYTHONPATH can hold it: seen from here, where it has a colon."""
    found = os.path.relpath(folder) if os.pathsep in folder else folder
    if os.pathsep in found:
        raise WorkflowError(
            f"{folder}: PATH and PYTHONPATH cannot hold a colon; run in this folder or in one below it"
        )
    return found


# Shell commands find this environment's Python (a conda environment, where asked for, comes first)
# and this checkout's scripts, from whatever folder the workflow is run in.
os.environ.update(
    PATH=os.pathsep.join(
        [on_a_path(os.path.dirname(sys.executable)), os.getenv("PATH", os.defpath)]
    ),
    PYTHONPATH=on_a_path(workflow.basedir),
)

environment.clear(may_be_launched=False)
environment.print_as_can_be()

# Rules without output, which are asked for by name and print what they find.
COMMANDS = {"plan", "power", "preflight", "verify", "adopt"}


def asked_for():
    """Return what was asked for."""
    return set(workflow.dag_settings.targets) if workflow.dag_settings else set()


def first_output(rule):
    """Return the template of the first file that a rule makes, empty where it makes none."""
    return strip_wildcard_constraints(rule.output[0]) if rule.output else ""


def is_command():
    """Return whether only commands were asked for."""
    return bool(asked_for()) and asked_for() <= COMMANDS


def only_reads():
    """Return whether no job changes a result that another run may be making."""
    jobs = {job.rule.name for job in workflow.dag.needrun_jobs()}
    return jobs <= {"plan", "power", "preflight", "inspect"}


def write_configuration():
    """Write the whole configuration to a file, which a command reads rather than a long argument."""
    file = Path(paths.CONFIGURATION)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(layers.standing_alone(LAYERS), encoding="utf-8")


silent = not workflow.is_main_process or bool(
    {Quietness.ALL, Quietness.PROGRESS} & set(workflow.output_settings.quiet or ())
)
if workflow.is_main_process:
    shown = workflow.output_settings
    terminal.attach(
        logger,
        brief=shown.dryrun and not (shown.printshellcmds or shown.verbose),
        is_command=is_command,
        refusal=takeover.refusal,
    )
    if "--unlock" in sys.argv:
        takeover.forget_others()
    elif not shown.dryrun:
        stopping.in_a_thread(JobScheduler)
        takeover.unlock_own_alone(FilePersistence)
        if taken_over := takeover.enter():
            logger.warning(taken_over)
else:
    stopping.in_a_thread(JobScheduler)
    atexit.register(finished.at_the_end, Path(paths.STATES))

# A job within a job knows nothing of partitions, and needs nothing of what they decide.
STARTED = (
    command_line.started(workflow.rundir) if workflow.is_main_process else command_line.Started()
)
LAID_OVER = last_run.Experiment.of(workflow.overwrite_configfiles, workflow.config_settings.config)
# A command that names no experiment is about that of the folder's last run.
RECALLED = last_run.Experiment()
if STARTED.targets and STARTED.targets <= COMMANDS and LAID_OVER == RECALLED:
    RECALLED = LAID_OVER = last_run.kept()
if STARTED.targets & {"plan", "power", "preflight"} and not silent:
    of_last = " (the last run's; --configfile names another)" if any(RECALLED) else ""
    logger.warning(f"Experiment: {LAID_OVER.named(workflow.basedir)}{of_last}")

try:
    LAYERS = layers.read_layers(
        [f"{workflow.basedir}/config.yaml", *LAID_OVER.files], LAID_OVER.overrides
    )
    EXPERIMENT = experiment.load(LAYERS)
except UserError as error:
    raise WorkflowError(str(error))

CELLS = matrix.cells(EXPERIMENT)
SEEDS = matrix.seeds(CELLS)
STUDENTS = matrix.students(EXPERIMENT)
EXECUTION = EXPERIMENT.execution
# What of the code each stage uses: a param, so that a change to it reruns the stage (docs/reruns.md).
CODE = digests.Code(
    f"{workflow.basedir}/workflow_scripts", with_versions=EXPERIMENT.strict_environment
)
if workflow.is_main_process and (other_versions := provenance.warning()):
    logger.warning(other_versions)

# The wildcards of a cell, and what they say in a job's message.
CELL = matrix.Cell._fields
CELL_TEXT = (
    "{wildcards.target}, {wildcards.weak} → {wildcards.strong}, "
    "{wildcards.conflict}{wildcards.variant}, seed {wildcards.seed}"
)
CELL_OF_SFT = [name.replace("conflict", "supervision") for name in CELL]
CELL_OF_SFT_TEXT = CELL_TEXT.replace("conflict", "supervision")
CEILING_TEXT = "{wildcards.target}, {wildcards.model}, seed {wildcards.seed}"


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
    figure=one_of(FIGURES),
    seed=r"\d+",


def slice_for(stage, *names):
    """Return a params function: the part of the configuration that ``stage`` depends on."""
    return lambda wildcards: stage(EXPERIMENT, *(wildcards[name] for name in names))


def slice_of_cell(stage):
    """Return a params function: the part of the configuration that a cell's ``stage`` depends on."""

    def settings(wildcards):
        names = {name: wildcards[name] for name in CELL}
        return stage(EXPERIMENT, matrix.Cell(**names | {"seed": int(wildcards.seed)}))

    return settings


def files_in(folder):
    """Return a folder's files: a file that is written over leaves its folder's time as it was."""
    found = (os.path.join(place, file) for place, _, files in os.walk(folder) for file in files)
    return sorted(found)


def scenario_of(wildcards):
    """Return the scenario of a job."""
    return EXPERIMENT.scenarios[wildcards.scenario]


def starts_from_sft(wildcards):
    """Return whether training starts from the base model's SFT rather than from the base model."""
    return scenario_of(wildcards).from_sft


def has_reference(wildcards):
    """Return whether margins are relative to a reference model."""
    return scenario_of(wildcards).has_reference


def is_linear_probe(wildcards):
    """Return whether a reward head alone is trained, on features of a frozen model."""
    return scenario_of(wildcards).trains_head_alone


def for_linear_probes(features):
    """Return an input: these features where a reward head alone is trained, and nothing elsewhere.

    No function where that is nowhere: Snakemake takes its time over each function of each job.
    """
    if not any(scenario.trains_head_alone for scenario in EXPERIMENT.scenarios.values()):
        return []
    return branch(is_linear_probe, then=features, otherwise=[])


def conflict_of(wildcards):
    """Return the conflict that a student, or the SFT model it starts from, is trained under."""
    if "supervision" in wildcards.keys():
        return SFT_CONFLICTS[wildcards.supervision]
    return EXPERIMENT.conflicts[wildcards.conflict]


def is_mixture(wildcards):
    """Return whether supervision mixes the competing goal's pairs in."""
    return conflict_of(wildcards).mixes_helpful


def pairs_of(set):
    """Return the template of one of a target's sets."""
    return paths.filled(paths.PAIRS, set=set)


def features_of(set, model="{model}"):
    """Return the template of a model's features of one of a target's sets."""
    return paths.filled(paths.FEATURES, set=set, model=model)


def student_pairs(wildcards):
    """Return the set that a student is trained on."""
    return pairs_of(STUDENTS[wildcards.variant].trained_on).format(**wildcards)


def labelled_by_student(wildcards):
    """Return the set that a student labels for the next of a chain."""
    return pairs_of(STUDENTS[wildcards.variant].labels).format(**wildcards)


def supervising_labels(wildcards):
    """Return the labels of that set: by weak models, or by the last of a chain of students."""
    student = STUDENTS[wildcards.variant]
    if chain := student.chain(wildcards.strong):
        supervisor = chains.supervisor(student, STUDENTS.values())
        names = {"strong": chain[-1], "variant": supervisor.folder}
        return paths.STUDENT_LABELS.format(**dict(wildcards) | names)
    return [
        paths.WEAK_LABELS.format(**dict(wildcards) | {"model": model, "seed": seed})
        for model, seed in student.labellers(wildcards.weak, int(wildcards.seed))
    ]


def student_sft_folder(wildcards):
    """Return the folder of the SFT model that a student starts from."""
    return paths.STUDENT_SFT.format(supervision=conflict_of(wildcards).supervision, **wildcards)


def adapted(field, among=lambda wildcards: True):
    """Return an input: the base model that a checkpoint of LoRA's adapters belongs to.

    Nothing where checkpoints are whole models, or a job is not among those that start from one.
    ``field`` is the wildcard that names the model.
    """
    if not any(model.lora for model in EXPERIMENT.models.values()):
        return []

    def base(wildcards):
        if not among(wildcards):
            return []
        linear_probe = "scenario" in wildcards.keys() and is_linear_probe(wildcards)
        name = wildcards[field]
        if EXPERIMENT.models[name].lora is None or linear_probe:
            return []
        return paths.MODEL.format(model=name)

    return base


def student_reference(wildcards):
    """Return a student's reference log-probabilities, and nothing where margins have no reference."""
    return f"{student_sft_folder(wildcards)}/reference.parquet" if has_reference(wildcards) else []


def checkpoint_of(training):
    """Return the output of a training's model, which is temporary unless it is kept."""
    folder = directory(f"{training}/checkpoint")
    return folder if EXPERIMENT.keep_checkpoints in experiment.KEPT[training] else temp(folder)
