rule weak_to_strong:
    input:
        model=student_base,
        pairs=student_pairs,
        weak_labels=supervising_labels,
        helpful=branch(is_mixture, then="results/data/{target}/helpful.parquet", otherwise=[]),
        reference=student_reference,
        features=for_linear_probes(student_features),
    output:
        checkpoint=branch(
            EXPERIMENT.keep_checkpoints,
            then=directory(f"{WEAK_TO_STRONG}/checkpoint"),
            otherwise=temp(directory(f"{WEAK_TO_STRONG}/checkpoint")),
        ),
        record=f"{WEAK_TO_STRONG}/train.json",
        metrics=f"{WEAK_TO_STRONG}/metrics.jsonl",
    log:
        "results/logs/weak_to_strong/{target}/{scenario}/{weak}/{strong}/{conflict}{variant}/seed{seed}.log",
    group:
        group_of("weak_to_strong")
    conda:
        "../envs/training.yaml"
    threads: EXECUTION.threads
    resources:
        **training_on(
            "strong", token_counts.weak_to_strong, "target", "scenario", "conflict", "variant"
        ),
    params:
        code=lambda wildcards: CODE.digest(
            "train",
            scenario_of(wildcards).kind,
            conflict_of(wildcards).kind,
            STUDENTS[wildcards.variant].kind,
        ),
        settings=slice_for(
            slices.weak_to_strong,
            "target",
            "scenario",
            "weak",
            "strong",
            "conflict",
            "variant",
            "seed",
        ),
    shell:
        "{resources.launcher} train --code {params.code} --settings {params.settings:q} "
        "--model {input.model} --pairs {input.pairs} "
        "--weak-labels {input.weak_labels} --helpful {input.helpful} "
        "--reference {input.reference} --features {input.features} "
        "--micro-batch {resources.micro_batch} --threads {threads} {resources.execution} "
        "--checkpoint {output.checkpoint} --record {output.record} "
        "--metrics {output.metrics} 2> {log}"
