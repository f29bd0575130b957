# `snakemake verify` checks everything in results/ against the records of its making, and sets aside
# what is not as it was made, for the next run to make again. It has no output, so it always runs.


localrules:
    verify,
    adopt,


rule verify:
    log:
        f"{paths.LOGS}/verify.log",
    conda:
        "../envs/analysis.yaml"
    message:
        "Check all results against the records of their making"
    shell:
        "python -m workflow_scripts verify 2> {log:q}"


# `snakemake adopt` takes a finished run over whose code alone has changed since (docs/reruns.md).


rule adopt:
    log:
        f"{paths.LOGS}/adopt.log",
    retries: 0
    conda:
        "../envs/analysis.yaml"
    params:
        config=layers.standing_alone(LAYERS),
        snakefile=workflow.main_snakefile,
        started_in=workflow.workdir_init,
    message:
        "Take over what an older version of the code made"
    shell:
        "python -m workflow_scripts adopt --config {params.config:q} "
        "--snakefile {params.snakefile:q} --started-in {params.started_in:q} 2> {log:q}"
