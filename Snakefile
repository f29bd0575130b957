from snakemake.settings.types import DeploymentMethod
from snakemake.utils import min_version

min_version("9.27")


configfile: f"{workflow.basedir}/config.yaml"


IN_CONTAINERS = DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method

if IN_CONTAINERS:

    # Not named otherwise: Snakemake refuses an image in a folder whose name holds a blank.
    # envs/apptainer.def says how it is built.
    container: f"{workflow.basedir}/envs/w2s.sif"


include: "rules/common.smk"
include: "rules/inputs.smk"
include: "rules/hardware.smk"
include: "rules/report_files.smk"
include: "rules/data.smk"
include: "rules/models.smk"
include: "rules/features.smk"
include: "rules/sft.smk"
include: "rules/ground_truth.smk"
include: "rules/weak_labels.smk"
include: "rules/weak_to_strong.smk"
include: "rules/predictions.smk"
include: "rules/probe.smk"
include: "rules/report.smk"
include: "rules/verify.smk"
include: "rules/cluster.smk"


rule all:
    default_target: True
    input:
        rules.cells.output,
        rules.tables.output,
        rules.page.output,
        # Listed explicitly: Snakemake does not recreate a missing intermediate file while the report
        # exists.
        beside_checkpoints("predictions.parquet"),
        probes_of_cells,
        collect(rules.figure.output, figure=FIGURES, target=EXPERIMENT.matrix.targets),
    message:
        "All cells and their report"


try:
    asked.check(
        STARTED.targets, {rule.name: first_output(rule) for rule in workflow.rules}, EXPERIMENT
    )
except UserError as error:
    raise WorkflowError(str(error))


onstart:
    if refused := takeover.begin(only_reads=only_reads()):
        logger.error(refused)
        sys.exit(1)
    if is_command() and asked_for() != {"verify"}:
        write_configuration()
    else:
        attempts.forget()
    if not is_command():
        check_gpus()
        write_names()
        last_run.keep(LAID_OVER)
    if workflow.local_exec and not is_command() and not silent:
        job_progress.show(logger)
    # A cluster's jobs are processes of their own, on their own nodes.
    if EXPERIMENT.execution.warm_start and workflow.local_exec and not is_command():
        warm.start()


onsuccess:
    job_progress.end()
    if not is_command():
        finished.clear(Path(paths.STATES))
    # Print the table only when the default target was requested.
    if asked_for() <= {"all"}:
        shell(
            "test ! -f {paths.CELLS:q} || python -m workflow_scripts summary --cells {paths.CELLS:q}"
        )


onerror:
    job_progress.end()
    if not is_command():
        finished.clear(Path(paths.STATES))
