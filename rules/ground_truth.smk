use rule sft as ground_truth with:
    input:
        model=branch(
            starts_from_sft,
            then=f"{paths.SFT}/checkpoint",
            otherwise=paths.MODEL,
        ),
        base=adapted("model", among=starts_from_sft),
        pairs=pairs_of("gt"),
        weak_labels=[],
        helpful=[],
        reference=branch(has_reference, then=paths.SFT_REFERENCE, otherwise=[]),
        features=for_linear_probes(features_of("gt")),
    output:
        checkpoint=checkpoint_of(paths.GROUND_TRUTH),
        record=f"{paths.GROUND_TRUTH}/train.json",
        metrics=f"{paths.GROUND_TRUTH}/metrics.jsonl",
    log:
        paths.log("ground_truth", paths.GROUND_TRUTH),
    benchmark:
        paths.benchmark("ground_truth", paths.GROUND_TRUTH)
    group:
        group_of("ground_truth")
    resources:
        **training_for(f"{paths.GROUND_TRUTH}/train.json"),
    params:
        code=lambda wildcards: CODE.digest(
            "train", scenario_of(wildcards).kind, "none", "supervised"
        ),
        settings=slice_for(slices.ground_truth, "target", "scenario", "model", "seed"),
    message:
        f"Train {{wildcards.scenario}} ceiling: {CEILING_TEXT}"
