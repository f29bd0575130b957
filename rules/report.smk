localrules:
    names_of_files,
    cells,
    tables,
    figures,
    page,


# The names of thousands of cells' files are more than a command may hold.
rule names_of_files:
    output:
        probes="results/.names/probes.txt",
        records="results/.names/trainings.txt",
    log:
        "results/logs/names_of_files.log",
    params:
        probes=[PROBE.format(**cell._asdict()) for cell in CELLS],
        records=beside_checkpoints("train.json"),
    run:
        for name, path in output.items():
            Path(path).write_text("\n".join(params[name]))


rule cells:
    input:
        # A path: beside a rule's output Snakemake would hash the list once for each of its files.
        names="results/.names/probes.txt",
        probes=rules.names_of_files.params.probes,
    output:
        csv=captioned("results/report/cells.csv", "cells", "Tables", table="cells"),
        parquet="results/report/cells.parquet",
        aggregated=captioned(
            "results/report/aggregated.csv", "aggregated", "Tables", table="cells over seeds"
        ),
        reliability="results/report/reliability.parquet",
    log:
        "results/logs/cells.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=CODE.digest("cells"),
    shell:
        "python -m workflow_scripts cells --code {params.code} --probes @{input.names} "
        "--csv {output.csv} --parquet {output.parquet} --aggregated {output.aggregated} "
        "--reliability {output.reliability} 2> {log}"


rule tables:
    input:
        "results/report/cells.parquet",
    output:
        list(table_files()),
    log:
        "results/logs/tables.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=CODE.digest("tables"),
    shell:
        "python -m workflow_scripts tables --code {params.code} --cells {input} "
        "--output results/report/tables 2> {log}"


rule figures:
    input:
        cells="results/report/cells.parquet",
        reliability="results/report/reliability.parquet",
    output:
        list(figure_files()),
    log:
        "results/logs/figures/{target}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=CODE.digest("figures"),
    shell:
        "python -m workflow_scripts figures --code {params.code} --cells {input.cells} "
        "--reliability {input.reliability} --target {wildcards.target} "
        "--output results/report/figures 2> {log}"


rule page:
    input:
        cells="results/report/cells.parquet",
        figures=collect(
            "results/report/figures/{figure}_{target}.svg",
            figure=report_figures.FIGURES,
            target=EXPERIMENT.matrix.targets,
        ),
        data=collect("results/data/{target}/report.json", target=EXPERIMENT.matrix.targets),
        names=rules.names_of_files.output.records,
        records=beside_checkpoints("train.json"),
    output:
        captioned("results/report/index.html", "page", "Report", page="claims, cells, figures"),
    log:
        "results/logs/page.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=CODE.digest("page"),
        settings=slices.page(EXPERIMENT),
    shell:
        "python -m workflow_scripts page --code {params.code} --settings {params.settings:q} "
        "--cells {input.cells} --data {input.data} "
        "--records @{input.names} --figures results/report/figures --output {output} 2> {log}"
