localrules:
    probe,
    inspect,


rule probe:
    input:
        weak="results/ground_truth/{target}/{scenario}/{weak}/seed{seed}/predictions.parquet",
        strong="results/ground_truth/{target}/{scenario}/{strong}/seed{seed}/predictions.parquet",
        none=f"{WEAK_TO_STRONG.replace('{conflict}', 'none')}/predictions.parquet",
        student=f"{WEAK_TO_STRONG}/predictions.parquet",
        control=second_weak,
    output:
        PROBE,
    log:
        "results/logs/probe/{target}/{scenario}/{weak}/{strong}/{conflict}{variant}/seed{seed}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=CODE.digest("probe"),
        settings=slice_for(
            slices.probe,
            "target",
            "scenario",
            "weak",
            "strong",
            "conflict",
            "variant",
            "seed",
        ),
    shell:
        "python -m workflow_scripts probe --code {params.code} --settings {params.settings:q} "
        "--weak {input.weak} --strong {input.strong} "
        "--none {input.none} --student {input.student} --control {input.control} "
        "--output {output} 2> {log}"


# Not part of `all`: ask for a cell's page by its path.


rule inspect:
    input:
        pairs="results/data/{target}/test.parquet",
        weak=rules.probe.input.weak,
        strong=rules.probe.input.strong,
        none=rules.probe.input.none,
        student=rules.probe.input.student,
    output:
        html=captioned(
            f"{INSPECTION}.html",
            "inspection",
            "Cells",
            cell="{target}, {scenario}, {weak} → {strong}, {conflict}{variant}, seed {seed}",
        ),
        parquet=f"{INSPECTION}.parquet",
    log:
        "results/logs/inspect/{target}/{scenario}/{weak}/{strong}/{conflict}{variant}/seed{seed}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=CODE.digest("inspection"),
        settings=slice_for(
            slices.probe,
            "target",
            "scenario",
            "weak",
            "strong",
            "conflict",
            "variant",
            "seed",
        ),
    shell:
        "python -m workflow_scripts inspection --code {params.code} --settings {params.settings:q} "
        "--pairs {input.pairs} --weak {input.weak} --strong {input.strong} "
        "--none {input.none} --student {input.student} "
        "--html {output.html} --parquet {output.parquet} 2> {log}"
