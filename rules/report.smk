localrules:
    cells,
    tables,
    figure,
    page,


rule cells:
    input:
        probes=probes_of_cells,
    output:
        csv=captioned(f"{paths.REPORT}/cells.csv", "cells", "Tables", table="cells"),
        parquet=paths.CELLS,
        aggregated=captioned(
            f"{paths.REPORT}/aggregated.csv", "aggregated", "Tables", table="cells over seeds"
        ),
        reliability=paths.RELIABILITY,
    log:
        f"{paths.LOGS}/cells.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=CODE.digest("cells"),
        names=paths.NAMES.format(names="probes"),
    message:
        "Make the table of all cells"
    shell:
        "python -m workflow_scripts cells --code {params.code:q} --probes @{params.names:q} "
        "--csv {output.csv:q} --parquet {output.parquet:q} --aggregated {output.aggregated:q} "
        "--reliability {output.reliability:q} 2> {log:q}"


rule tables:
    input:
        paths.CELLS,
    output:
        list(table_files()),
    log:
        f"{paths.LOGS}/tables.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=CODE.digest("tables"),
        folder=subpath(output[0], parent=True),
    message:
        "Write the report's tables"
    shell:
        "python -m workflow_scripts tables --code {params.code:q} --cells {input:q} "
        "--output {params.folder:q} 2> {log:q}"


rule figure:
    input:
        cells=paths.CELLS,
        reliability=paths.RELIABILITY,
    output:
        report(
            f"{paths.FIGURE}.svg",
            caption="captions/figure.rst",
            category="Figures",
            labels={"figure": title_of_figure, "target": "{target}"},
        ),
        f"{paths.FIGURE}.png",
    log:
        f"{paths.LOGS}/figures/{{figure}}_{{target}}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=CODE.digest("figures"),
        folder=subpath(output[0], parent=True),
        caption=lambda wildcards: FIGURES[wildcards.figure].caption,
    message:
        "Draw {wildcards.figure}: {wildcards.target}"
    shell:
        "python -m workflow_scripts figures --code {params.code:q} --cells {input.cells:q} "
        "--reliability {input.reliability:q} --figures {wildcards.figure:q} "
        "--target {wildcards.target:q} --output {params.folder:q} 2> {log:q}"


rule page:
    input:
        cells=paths.CELLS,
        figures=collect(
            f"{paths.FIGURE}.{{kind}}",
            figure=FIGURES,
            target=EXPERIMENT.matrix.targets,
            kind=("svg", "png"),
        ),
        data=collect(paths.DATA_REPORT, target=EXPERIMENT.matrix.targets),
        records=records_of_trainings,
    output:
        captioned(f"{paths.REPORT}/index.html", "page", "Report", page="claims, cells, figures"),
    log:
        f"{paths.LOGS}/page.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=CODE.digest("page"),
        names=paths.NAMES.format(names="trainings"),
        settings=slices.page(EXPERIMENT),
        folder=lambda wildcards, input: os.path.dirname(input.figures[0]),
    message:
        "Write the report's page"
    shell:
        "python -m workflow_scripts page --code {params.code:q} --settings {params.settings:q} "
        "--cells {input.cells:q} --data {input.data:q} "
        "--records @{params.names:q} --figures {params.folder:q} --output {output:q} 2> {log:q}"
