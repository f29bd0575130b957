rule weak_labels:
    input:
        model=f"{paths.GROUND_TRUTH}/checkpoint",
        base=adapted("model"),
        pairs=pairs_of("weak"),
        reference=branch(has_reference, then=paths.SFT_REFERENCE, otherwise=[]),
        features=for_linear_probes(features_of("weak")),
    output:
        paths.WEAK_LABELS,
    log:
        paths.log("weak_labels", paths.WEAK_LABELS),
    benchmark:
        paths.benchmark("weak_labels", paths.WEAK_LABELS)
    group:
        group_of("ground_truth")
    conda:
        "../envs/training.yaml"
    threads: EXECUTION.threads
    resources:
        **scoring_for(paths.WEAK_LABELS),
    params:
        code=lambda wildcards: CODE.digest("weak_labels", scenario_of(wildcards).kind),
        settings=slice_for(slices.weak_labels, "scenario"),
    message:
        f"Label with {{wildcards.scenario}} ceiling: {CEILING_TEXT}"
    shell:
        "{resources.launcher} weak_labels --code {params.code:q} --settings {params.settings:q} "
        "--model {input.model:q} --pairs {input.pairs:q} --reference {input.reference:q} "
        "--features {input.features:q} "
        "--micro-batch {resources.micro_batch} --threads {threads} --output {output:q} 2> {log:q}"


# A student without a conflict labels the set of the next one in a chain.


use rule weak_labels as student_labels with:
    input:
        model=f"{paths.filled(paths.WEAK_TO_STRONG, conflict='none')}/checkpoint",
        base=adapted("strong"),
        pairs=labelled_by_student,
        reference=branch(
            has_reference,
            then=paths.filled(paths.LABELLING_REFERENCE, supervision="labels"),
            otherwise=[],
        ),
        features=for_linear_probes(features_labelled_by_student),
    output:
        paths.STUDENT_LABELS,
    log:
        paths.log("student_labels", paths.STUDENT_LABELS),
    benchmark:
        paths.benchmark("student_labels", paths.STUDENT_LABELS)
    group:
        group_of("weak_to_strong")
    resources:
        **scoring_for(paths.STUDENT_LABELS),
    message:
        f"Label with {{wildcards.scenario}} student: {CELL_TEXT.replace('{wildcards.conflict}', 'none')}"
