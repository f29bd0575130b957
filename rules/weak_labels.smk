# What is read off a trained model is read in turn, since in one Slurm job it is read on the same GPU:
# the `turn` is waited for, and nothing in it makes labels out of date.


rule weak_labels:
    input:
        turn=ancient(f"{GROUND_TRUTH}/predictions.parquet"),
        model=f"{GROUND_TRUTH}/checkpoint",
        pairs="results/data/{target}/weak.parquet",
        reference=branch(is_dpo, then=f"{SFT}/reference.parquet", otherwise=[]),
        features=branch(
            is_linear_probe, then="results/features/{target}/{model}/weak.parquet", otherwise=[]
        ),
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
        code=lambda wildcards: CODE.digest("weak_labels", wildcards.scenario),
        settings=slice_for(slices.weak_labels, "scenario"),
    shell:
        "python -m workflow_scripts weak_labels --code {params.code} --settings {params.settings:q} "
        "--model {input.model} --pairs {input.pairs} --reference {input.reference} "
        "--features {input.features} "
        "--micro-batch {resources.micro_batch} --threads {threads} --output {output} 2> {log}"


# A student without a conflict labels the set of the next one in a chain.


use rule weak_labels as student_labels with:
    input:
        turn=ancient(f"{WEAK_TO_STRONG.replace('{conflict}', 'none')}/predictions.parquet"),
        model=f"{WEAK_TO_STRONG.replace('{conflict}', 'none')}/checkpoint",
        pairs=labelled_by_student,
        reference=branch(
            is_dpo,
            then=f"{STUDENT_SFT.replace('{supervision}', 'labels')}/labelling_reference.parquet",
            otherwise=[],
        ),
        features=branch(is_linear_probe, then=features_labelled_by_student, otherwise=[]),
    output:
        STUDENT_LABELS,
    log:
        "results/logs/student_labels/{target}/{scenario}/{weak}/{strong}{variant}/seed{seed}.log",
    group:
        group_of("weak_to_strong")
    resources:
        **scoring_on("strong", "weak"),
