# For linear probes (scenarios.reward_model.linear_probe): what a base model makes of each text of a
# set, read once. Ceilings, students, labels and predictions share it.


rule features:
    input:
        model=paths.MODEL,
        pairs=paths.PAIRS,
    output:
        paths.FEATURES,
    log:
        paths.log("features", paths.FEATURES),
    benchmark:
        paths.benchmark("features", paths.FEATURES)
    wildcard_constraints:
        set=one_of(data.SETS),
    conda:
        "../envs/training.yaml"
    threads: EXECUTION.threads
    resources:
        **allocation(requested(paths.FEATURES)),
    params:
        code=CODE.digest("features"),
        settings=slices.features(EXPERIMENT),
    message:
        "Read features: {wildcards.target}, {wildcards.set}, {wildcards.model}"
    shell:
        "python -m workflow_scripts features --code {params.code:q} --settings {params.settings:q} "
        "--model {input.model:q} --pairs {input.pairs:q} "
        "--micro-batch {resources.micro_batch} --threads {threads} --output {output:q} 2> {log:q}"
