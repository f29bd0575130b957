# SimPO and DPO start from a model fine-tuned on the supervising chosen responses (SFT), and it is
# DPO's frozen reference. One SFT serves both ground truths; among students, one serves `none` and
# `explicit`, whose labels agree.


# Every training is this one with inputs of its own, so that its command is typed once. An input that
# a training does without is empty.
rule sft:
    input:
        model=paths.MODEL,
        pairs=pairs_of("gt"),
        weak_labels=[],
        helpful=[],
        reference=[],
        features=[],
    output:
        checkpoint=checkpoint_of(paths.SFT),
        record=f"{paths.SFT}/train.json",
        metrics=f"{paths.SFT}/metrics.jsonl",
    log:
        paths.log("sft", paths.SFT),
    benchmark:
        paths.benchmark("sft", paths.SFT)
    group:
        group_of("sft")
    conda:
        "../envs/training.yaml"
    threads: EXECUTION.threads
    resources:
        **training_for(f"{paths.SFT}/train.json"),
    params:
        code=CODE.digest("train", "sft", "none", "supervised"),
        settings=slice_for(slices.sft, "target", "model", "seed"),
    message:
        f"Train SFT: {CEILING_TEXT}"
    shell:
        "{resources.launcher} train --code {params.code:q} --settings {params.settings:q} "
        "--model {input.model:q} --pairs {input.pairs:q} "
        "--weak-labels {input.weak_labels:q} --helpful {input.helpful:q} "
        "--reference {input.reference:q} --features {input.features:q} "
        "--micro-batch {resources.micro_batch} --threads {threads} {resources.execution} "
        "--checkpoint {output.checkpoint:q} --record {output.record:q} "
        "--metrics {output.metrics:q} 2> {log:q}"


use rule sft as student_sft with:
    input:
        model=paths.filled(paths.MODEL, model="{strong}"),
        pairs=student_pairs,
        weak_labels=supervising_labels,
        helpful=branch(is_mixture, then=pairs_of("helpful"), otherwise=[]),
        reference=[],
        features=[],
    output:
        checkpoint=checkpoint_of(paths.STUDENT_SFT),
        record=f"{paths.STUDENT_SFT}/train.json",
        metrics=f"{paths.STUDENT_SFT}/metrics.jsonl",
    log:
        paths.log("student_sft", paths.STUDENT_SFT),
    benchmark:
        paths.benchmark("student_sft", paths.STUDENT_SFT)
    group:
        group_of("student_sft")
    resources:
        **training_for(f"{paths.STUDENT_SFT}/train.json"),
    params:
        code=lambda wildcards: CODE.digest(
            "train", "sft", conflict_of(wildcards).kind, STUDENTS[wildcards.variant].kind
        ),
        settings=slice_for(slices.student_sft, *CELL_OF_SFT),
    message:
        f"Train SFT of {{wildcards.scenario}} student: {CELL_OF_SFT_TEXT}"


# DPO's reference log-probabilities, computed once for all that train on or are read out against
# one SFT model.


rule reference:
    input:
        model=f"{paths.SFT}/checkpoint",
        base=adapted("model"),
        pairs=[pairs_of(name) for name in ("gt", "weak", "test")],
    output:
        paths.SFT_REFERENCE,
    log:
        paths.log("reference", paths.SFT),
    benchmark:
        paths.benchmark("reference", paths.SFT)
    group:
        group_of("sft")
    conda:
        "../envs/training.yaml"
    threads: EXECUTION.threads
    resources:
        **scoring_for(paths.SFT_REFERENCE),
    params:
        code=CODE.digest("reference"),
        settings=slices.reference(EXPERIMENT),
    message:
        f"Score reference: {CEILING_TEXT}"
    shell:
        "{resources.launcher} reference --code {params.code:q} --settings {params.settings:q} "
        "--model {input.model:q} --pairs {input.pairs:q} "
        "--micro-batch {resources.micro_batch} --threads {threads} --output {output:q} 2> {log:q}"


use rule reference as student_reference with:
    input:
        model=f"{paths.STUDENT_SFT}/checkpoint",
        base=adapted("strong"),
        pairs=student_reference_pairs,
    output:
        paths.STUDENT_REFERENCE,
    log:
        paths.log("student_reference", paths.STUDENT_SFT),
    benchmark:
        paths.benchmark("student_reference", paths.STUDENT_SFT)
    group:
        group_of("student_sft")
    resources:
        **scoring_for(paths.STUDENT_REFERENCE),
    message:
        f"Score reference of {{wildcards.scenario}} student: {CELL_OF_SFT_TEXT}"


# For students inside a chain: their own file, so that the others need not be run again.


use rule reference as labelling_reference with:
    input:
        model=f"{paths.STUDENT_SFT}/checkpoint",
        base=adapted("strong"),
        pairs=labelled_by_student,
    output:
        paths.LABELLING_REFERENCE,
    log:
        paths.log("labelling_reference", paths.STUDENT_SFT),
    benchmark:
        paths.benchmark("labelling_reference", paths.STUDENT_SFT)
    group:
        group_of("student_sft")
    resources:
        **scoring_for(paths.LABELLING_REFERENCE),
    message:
        f"Score labelling reference of {{wildcards.scenario}} student: {CELL_OF_SFT_TEXT}"
