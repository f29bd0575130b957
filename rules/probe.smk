localrules:
    probe,
    inspect,


rule probe:
    input:
        pairs=pairs_of("test"),
        weak=paths.filled(paths.CEILING_PREDICTIONS, model="{weak}"),
        strong=paths.filled(paths.CEILING_PREDICTIONS, model="{strong}"),
        none=paths.filled(paths.STUDENT_PREDICTIONS, conflict="none"),
        student=paths.STUDENT_PREDICTIONS,
        before=seed_before,
        placebo=placebo,
    output:
        paths.PROBE,
    log:
        paths.log("probe", paths.PROBE),
    conda:
        "../envs/analysis.yaml"
    params:
        code=CODE.digest("probe"),
        settings=slice_of_cell(slices.probe),
    message:
        f"Probe {{wildcards.scenario}} student: {CELL_TEXT}"
    shell:
        "python -m workflow_scripts probe --code {params.code:q} --settings {params.settings:q} "
        "--pairs {input.pairs:q} --weak {input.weak:q} --strong {input.strong:q} "
        "--none {input.none:q} --student {input.student:q} --before {input.before:q} "
        "--placebo {input.placebo:q} --output {output:q} 2> {log:q}"


# Not part of `all`: ask for a cell's page by its path.


rule inspect:
    input:
        pairs=pairs_of("test"),
        weak=rules.probe.input.weak,
        strong=rules.probe.input.strong,
        none=rules.probe.input.none,
        student=rules.probe.input.student,
    output:
        html=captioned(
            f"{paths.INSPECTION}.html",
            "inspection",
            "Cells",
            cell="{target}, {scenario}, {weak} → {strong}, {conflict}{variant}, seed {seed}",
        ),
        parquet=f"{paths.INSPECTION}.parquet",
    log:
        paths.log("inspect", paths.INSPECTION),
    conda:
        "../envs/analysis.yaml"
    params:
        code=CODE.digest("inspection"),
        settings=slice_of_cell(slices.probe),
    message:
        f"Inspect {{wildcards.scenario}} student: {CELL_TEXT}"
    shell:
        "python -m workflow_scripts inspection --code {params.code:q} --settings {params.settings:q} "
        "--pairs {input.pairs:q} --weak {input.weak:q} --strong {input.strong:q} "
        "--none {input.none:q} --student {input.student:q} "
        "--html {output.html:q} --parquet {output.parquet:q} 2> {log:q}"
