use rule sft as weak_to_strong with:
    input:
        model=student_base,
        base=adapted("strong", among=starts_from_sft),
        pairs=student_pairs,
        weak_labels=supervising_labels,
        helpful=branch(is_mixture, then=pairs_of("helpful"), otherwise=[]),
        reference=student_reference,
        features=for_linear_probes(student_features),
    output:
        checkpoint=checkpoint_of(paths.WEAK_TO_STRONG),
        record=f"{paths.WEAK_TO_STRONG}/train.json",
        metrics=f"{paths.WEAK_TO_STRONG}/metrics.jsonl",
    log:
        paths.log("weak_to_strong", paths.WEAK_TO_STRONG),
    benchmark:
        paths.benchmark("weak_to_strong", paths.WEAK_TO_STRONG)
    group:
        group_of("weak_to_strong")
    resources:
        **training_for(f"{paths.WEAK_TO_STRONG}/train.json"),
    params:
        code=lambda wildcards: CODE.digest(
            "train",
            scenario_of(wildcards).kind,
            conflict_of(wildcards).kind,
            STUDENTS[wildcards.variant].kind,
        ),
        settings=slice_of_cell(slices.weak_to_strong),
    message:
        f"Train {{wildcards.scenario}} student: {CELL_TEXT}"
