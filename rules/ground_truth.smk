rule ground_truth:
    input:
        model=branch(
            starts_from_base,
            then="results/models/{model}",
            otherwise=f"{SFT}/checkpoint",
        ),
        pairs="results/data/{target}/gt.parquet",
        reference=branch(has_reference, then=f"{SFT}/reference.parquet", otherwise=[]),
        features=for_linear_probes("results/features/{target}/{model}/gt.parquet"),
    output:
        checkpoint=directory(f"{GROUND_TRUTH}/checkpoint"),
        record=f"{GROUND_TRUTH}/train.json",
        metrics=f"{GROUND_TRUTH}/metrics.jsonl",
    log:
        "results/logs/ground_truth/{target}/{scenario}/{model}/seed{seed}.log",
    group:
        group_of("ground_truth")
    conda:
        "../envs/training.yaml"
    threads: EXECUTION.threads
    resources:
        **training_on("model", token_counts.ground_truth, "target", "scenario"),
    params:
        code=lambda wildcards: CODE.digest(
            "train", scenario_of(wildcards).kind, "none", "supervised"
        ),
        settings=slice_for(slices.ground_truth, "target", "scenario", "model", "seed"),
    shell:
        "{resources.launcher} train --code {params.code} --settings {params.settings:q} "
        "--model {input.model} --pairs {input.pairs} --reference {input.reference} --features {input.features} "
        "--micro-batch {resources.micro_batch} --threads {threads} {resources.execution} "
        "--checkpoint {output.checkpoint} --record {output.record} "
        "--metrics {output.metrics} 2> {log}"
