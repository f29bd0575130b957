# Targets that are asked for by name: `snakemake --profile slurm plan`, and `preflight` likewise.
# They have no outputs, so they run whenever they are asked for.


localrules:
    plan,
    power,
    preflight,


rule plan:
    log:
        f"{paths.LOGS}/plan.log",
    retries: 0
    conda:
        "../envs/analysis.yaml"
    params:
        config=paths.CONFIGURATION,
        snakefile=workflow.main_snakefile,
        started_in=workflow.workdir_init,
        partitions=STARTED.partitions or [],
    message:
        "Plan"
    shell:
        "python -m workflow_scripts plan --config {params.config:q} "
        "--snakefile {params.snakefile:q} --started-in {params.started_in:q} "
        "--partitions {params.partitions:q} 2> {log:q}"


rule power:
    log:
        f"{paths.LOGS}/power.log",
    retries: 0
    conda:
        "../envs/analysis.yaml"
    params:
        config=rules.plan.params.config,
    message:
        "Say which excess a run can show"
    shell:
        "python -m workflow_scripts power --config {params.config:q} 2> {log:q}"


rule preflight:
    log:
        f"{paths.LOGS}/preflight.log",
    retries: 0
    conda:
        "../envs/analysis.yaml"
    # It calls Slurm's commands, which the image is without.
    container:
        None
    params:
        config=rules.plan.params.config,
        snakefile=rules.plan.params.snakefile,
        started_in=rules.plan.params.started_in,
        partitions=rules.plan.params.partitions,
        account=lambda wildcards, resources: resources.get("slurm_account", []),
    message:
        "Check what a run on the cluster will need"
    shell:
        "python -m workflow_scripts preflight --config {params.config:q} "
        "--snakefile {params.snakefile:q} --started-in {params.started_in:q} "
        "--partitions {params.partitions:q} --account {params.account:q} 2> {log:q}"
