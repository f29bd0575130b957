# `snakemake verify` checks everything in results/ against the records of its making, sets aside what
# is not as it was made, and prints the command that makes it again. It has no output, so it always
# runs.


localrules:
    verify,
    adopt,


rule verify:
    log:
        # An archive that nobody may write to can be verified, too.
        f"{paths.LOGS if os.access(paths.RESULTS, os.W_OK) else '.snakemake/log'}/verify.log",
    retries: 0
    conda:
        "../envs/analysis.yaml"
    params:
        # A function, since Snakemake fills in the fields of a string.
        temporary=lambda wildcards: [
            f"{training}/checkpoint"
            for training, keeping in experiment.KEPT.items()
            if EXPERIMENT.keep_checkpoints not in keeping
        ],
        typed=shlex.join(["snakemake", *sys.argv[1:], *RECALLED.options()]),
    message:
        "Check all results against the records of their making"
    shell:
        "python -m workflow_scripts verify --temporary {params.temporary:q} "
        "--typed {params.typed:q} 2> {log:q}"


# `snakemake adopt` takes a finished run over whose code alone has changed since (docs/reruns.md).


rule adopt:
    log:
        f"{paths.LOGS}/adopt.log",
    retries: 0
    conda:
        "../envs/analysis.yaml"
    params:
        config=paths.CONFIGURATION,
        snakefile=workflow.main_snakefile,
        started_in=workflow.workdir_init,
    message:
        "Take over what an older version of the code made"
    shell:
        "python -m workflow_scripts adopt --config {params.config:q} "
        "--snakefile {params.snakefile:q} --started-in {params.started_in:q} 2> {log:q}"
