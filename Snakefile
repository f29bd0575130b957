from snakemake.utils import min_version

min_version("9.27")


configfile: f"{workflow.basedir}/config.yaml"


include: "rules/common.smk"
include: "rules/hardware.smk"
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
        # Else Snakemake would let a measurement be missing as long as the report stands.
        beside_checkpoints("predictions.parquet"),
        rules.cells.input.probes,
        collect(rules.figures.output, target=EXPERIMENT.matrix.targets),


onstart:
    # A cluster's jobs are to be processes of their own, on their own nodes.
    if EXPERIMENT.execution.warm_start and workflow.local_exec:
        warm.start()


onsuccess:
    # Whoever asked for a plan or for single files did not ask for the cells.
    if set(workflow.dag_settings.targets) <= {"all"}:
        shell(
            "test ! -f {rules.cells.output.parquet} || python -m workflow_scripts summary --cells {rules.cells.output.parquet}"
        )
