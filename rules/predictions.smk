rule ground_truth_predictions:
    input:
        model=f"{paths.GROUND_TRUTH}/checkpoint",
        base=adapted("model"),
        pairs=pairs_of("test"),
        reference=branch(has_reference, then=paths.SFT_REFERENCE, otherwise=[]),
        features=for_linear_probes(features_of("test")),
    output:
        paths.CEILING_PREDICTIONS,
    log:
        paths.log("ground_truth_predictions", paths.GROUND_TRUTH),
    benchmark:
        paths.benchmark("ground_truth_predictions", paths.GROUND_TRUTH)
    group:
        group_of("ground_truth")
    conda:
        "../envs/training.yaml"
    threads: EXECUTION.threads
    resources:
        **scoring_for(paths.CEILING_PREDICTIONS),
    params:
        code=lambda wildcards: CODE.digest("predict", scenario_of(wildcards).kind),
        settings=slice_for(slices.readout, "scenario"),
    message:
        f"Predict with {{wildcards.scenario}} ceiling: {CEILING_TEXT}"
    shell:
        "{resources.launcher} predict --code {params.code:q} --settings {params.settings:q} "
        "--model {input.model:q} --pairs {input.pairs:q} --reference {input.reference:q} "
        "--features {input.features:q} "
        "--micro-batch {resources.micro_batch} --threads {threads} --output {output:q} 2> {log:q}"


use rule ground_truth_predictions as weak_to_strong_predictions with:
    input:
        model=f"{paths.WEAK_TO_STRONG}/checkpoint",
        base=adapted("strong"),
        pairs=pairs_of("test"),
        reference=student_reference,
        features=for_linear_probes(features_of("test", "{strong}")),
    output:
        paths.STUDENT_PREDICTIONS,
    log:
        paths.log("weak_to_strong_predictions", paths.WEAK_TO_STRONG),
    benchmark:
        paths.benchmark("weak_to_strong_predictions", paths.WEAK_TO_STRONG)
    group:
        group_of("weak_to_strong")
    resources:
        **scoring_for(paths.STUDENT_PREDICTIONS),
    message:
        f"Predict with {{wildcards.scenario}} student: {CELL_TEXT}"
