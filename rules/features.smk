# For linear probes (scenarios.reward_model.linear_probe): what a base model makes of each text of a
# set, read once. Ceilings, students, labels and predictions share it.


rule features:
    input:
        model="results/models/{model}",
        pairs="results/data/{target}/{set}.parquet",
    output:
        FEATURES,
    log:
        "results/logs/features/{target}/{model}/{set}.log",
    wildcard_constraints:
        set=one_of(data.SETS),
    conda:
        "../envs/training.yaml"
    threads: EXECUTION.threads
    resources:
        **allocation(requested(scoring_request, "model", token_counts.scoring, ["target", "set"])),
    params:
        code=CODE.digest("features"),
        settings=slices.features(EXPERIMENT),
    shell:
        "python -m workflow_scripts features --code {params.code} --settings {params.settings:q} "
        "--model {input.model} --pairs {input.pairs} "
        "--micro-batch {resources.micro_batch} --threads {threads} --output {output} 2> {log}"
