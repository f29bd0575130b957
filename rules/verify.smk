# `snakemake verify` checks everything in results/ against the records of its making, and sets aside
# what is not as it was made, for the next run to make again. It has no output, so it always runs.


localrules:
    verify,


rule verify:
    log:
        f"{paths.LOGS}/verify.log",
    conda:
        "../envs/analysis.yaml"
    message:
        "Check all results against the records of their making"
    shell:
        "python -m workflow_scripts verify 2> {log:q}"
