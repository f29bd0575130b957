rule ground_truth_predictions:
    input:
        model=f"{GROUND_TRUTH}/checkpoint",
        pairs="results/data/{target}/test.parquet",
        reference=branch(has_reference, then=f"{SFT}/reference.parquet", otherwise=[]),
        features=for_linear_probes("results/features/{target}/{model}/test.parquet"),
    output:
        f"{GROUND_TRUTH}/predictions.parquet",
    log:
        "results/logs/ground_truth_predictions/{target}/{scenario}/{model}/seed{seed}.log",
    group:
        group_of("ground_truth")
    conda:
        "../envs/training.yaml"
    threads: EXECUTION.threads
    resources:
        **scoring_on("model", "test"),
    params:
        code=lambda wildcards: CODE.digest("predict", scenario_of(wildcards).kind),
        settings=slice_for(slices.readout, "scenario"),
    shell:
        "python -m workflow_scripts predict --code {params.code} --settings {params.settings:q} "
        "--model {input.model} --pairs {input.pairs} --reference {input.reference} "
        "--features {input.features} "
        "--micro-batch {resources.micro_batch} --threads {threads} --output {output} 2> {log}"


use rule ground_truth_predictions as weak_to_strong_predictions with:
    input:
        model=f"{WEAK_TO_STRONG}/checkpoint",
        pairs="results/data/{target}/test.parquet",
        reference=student_reference,
        features=for_linear_probes("results/features/{target}/{strong}/test.parquet"),
    output:
        f"{WEAK_TO_STRONG}/predictions.parquet",
    log:
        "results/logs/weak_to_strong_predictions/{target}/{scenario}/{weak}/{strong}/{conflict}{variant}/seed{seed}.log",
    group:
        group_of("weak_to_strong")
    resources:
        **scoring_on("strong", "test"),
