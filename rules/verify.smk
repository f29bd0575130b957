# `snakemake verify` checks everything in results/ against the records of its making, and sets aside
# what is not as it was made, for the next run to make again. It has no output, so it always runs.


localrules:
    verify,


rule verify:
    log:
        "results/logs/verify.log",
    conda:
        "../envs/analysis.yaml"
    shell:
        "python -m workflow_scripts verify 2> {log}"
