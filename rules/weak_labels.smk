rule weak_labels:
    input:
        model=f"{GROUND_TRUTH}/checkpoint",
        pairs="results/data/{target}/weak.parquet",
        reference=branch(has_reference, then=f"{SFT}/reference.parquet", otherwise=[]),
        features=for_linear_probes("results/features/{target}/{model}/weak.parquet"),
    output:
        WEAK_LABELS,
    log:
        "results/logs/weak_labels/{target}/{scenario}/{model}/seed{seed}.log",
    group:
        group_of("ground_truth")
    conda:
        "../envs/training.yaml"
    threads: EXECUTION.threads
    resources:
        **scoring_on("model", "weak"),
    params:
        code=lambda wildcards: CODE.digest("weak_labels", scenario_of(wildcards).kind),
        settings=slice_for(slices.weak_labels, "scenario"),
    shell:
        "python -m workflow_scripts weak_labels --code {params.code} --settings {params.settings:q} "
        "--model {input.model} --pairs {input.pairs} --reference {input.reference} "
        "--features {input.features} "
        "--micro-batch {resources.micro_batch} --threads {threads} --output {output} 2> {log}"


# A student without a conflict labels the set of the next one in a chain.


use rule weak_labels as student_labels with:
    input:
        model=f"{WEAK_TO_STRONG.replace('{conflict}', 'none')}/checkpoint",
        pairs=labelled_by_student,
        reference=branch(
            has_reference,
            then=f"{STUDENT_SFT.replace('{supervision}', 'labels')}/labelling_reference.parquet",
            otherwise=[],
        ),
        features=for_linear_probes(features_labelled_by_student),
    output:
        STUDENT_LABELS,
    log:
        "results/logs/student_labels/{target}/{scenario}/{weak}/{strong}{variant}/seed{seed}.log",
    group:
        group_of("weak_to_strong")
    resources:
        **scoring_on("strong", "weak"),
