# SimPO and DPO start from a model fine-tuned on the supervising chosen responses (SFT), and it is
# DPO's frozen reference. One SFT serves both ground truths; among students, one serves `none` and
# `explicit`, whose labels agree.


rule sft:
    input:
        model="results/models/{model}",
        pairs="results/data/{target}/gt.parquet",
    output:
        checkpoint=directory(f"{SFT}/checkpoint"),
        record=f"{SFT}/train.json",
        metrics=f"{SFT}/metrics.jsonl",
    log:
        "results/logs/sft/{target}/{model}/seed{seed}.log",
    group:
        group_of("sft")
    conda:
        "../envs/training.yaml"
    threads: EXECUTION.threads
    resources:
        **training_on("model", token_counts.sft, "target"),
    params:
        code=CODE.digest("train", "sft", "none", "supervised"),
        settings=slice_for(slices.sft, "target", "model", "seed"),
    shell:
        "{resources.launcher} train --code {params.code} --settings {params.settings:q} "
        "--model {input.model} --pairs {input.pairs} "
        "--micro-batch {resources.micro_batch} --threads {threads} {resources.execution} "
        "--checkpoint {output.checkpoint} --record {output.record} "
        "--metrics {output.metrics} 2> {log}"


rule student_sft:
    input:
        model="results/models/{strong}",
        pairs=student_pairs,
        weak_labels=supervising_labels,
        helpful=branch(is_mixture, then="results/data/{target}/helpful.parquet", otherwise=[]),
    output:
        checkpoint=directory(f"{STUDENT_SFT}/checkpoint"),
        record=f"{STUDENT_SFT}/train.json",
        metrics=f"{STUDENT_SFT}/metrics.jsonl",
    log:
        "results/logs/student_sft/{target}/{scenario}/{weak}/{strong}/{supervision}{variant}/seed{seed}.log",
    group:
        group_of("student_sft")
    conda:
        "../envs/training.yaml"
    threads: EXECUTION.threads
    resources:
        **training_on("strong", token_counts.student_sft, "target", "supervision", "variant"),
    params:
        code=lambda wildcards: CODE.digest(
            "train", "sft", conflict_of(wildcards).kind, STUDENTS[wildcards.variant].kind
        ),
        settings=slice_for(
            slices.student_sft,
            "target",
            "scenario",
            "weak",
            "strong",
            "supervision",
            "variant",
            "seed",
        ),
    shell:
        "{resources.launcher} train --code {params.code} --settings {params.settings:q} "
        "--model {input.model} --pairs {input.pairs} "
        "--weak-labels {input.weak_labels} --helpful {input.helpful} "
        "--micro-batch {resources.micro_batch} --threads {threads} {resources.execution} "
        "--checkpoint {output.checkpoint} --record {output.record} "
        "--metrics {output.metrics} 2> {log}"


# DPO's reference log-probabilities, computed once for all that train on or are read out against
# one SFT model.


rule reference:
    input:
        model=f"{SFT}/checkpoint",
        pairs=collect("results/data/{{target}}/{set}.parquet", set=["gt", "weak", "test"]),
    output:
        f"{SFT}/reference.parquet",
    log:
        "results/logs/reference/{target}/{model}/seed{seed}.log",
    group:
        group_of("sft")
    conda:
        "../envs/training.yaml"
    threads: EXECUTION.threads
    resources:
        **scoring_on("model", "gt", "weak", "test"),
    params:
        code=CODE.digest("reference"),
        settings=slices.reference(EXPERIMENT),
    shell:
        "python -m workflow_scripts reference --code {params.code} --settings {params.settings:q} "
        "--model {input.model} --pairs {input.pairs} "
        "--micro-batch {resources.micro_batch} --threads {threads} --output {output} 2> {log}"


use rule reference as student_reference with:
    input:
        model=f"{STUDENT_SFT}/checkpoint",
        pairs=student_reference_pairs,
    output:
        f"{STUDENT_SFT}/reference.parquet",
    log:
        "results/logs/student_reference/{target}/{scenario}/{weak}/{strong}/{supervision}{variant}/seed{seed}.log",
    group:
        group_of("student_sft")
    resources:
        **scoring_on("strong", "weak", "test", "helpful"),


# For students inside a chain: their own file, so that the others need not be run again.


use rule reference as labelling_reference with:
    input:
        model=f"{STUDENT_SFT}/checkpoint",
        pairs=labelled_by_student,
    output:
        f"{STUDENT_SFT}/labelling_reference.parquet",
    log:
        "results/logs/labelling_reference/{target}/{scenario}/{weak}/{strong}/{supervision}{variant}/seed{seed}.log",
    group:
        group_of("student_sft")
    resources:
        **scoring_on("strong", "weak", "test", "helpful"),
