# Local: they are quick, or need a network that compute nodes may lack.
localrules:
    small_world,
    prepare_data,


rule small_world:
    output:
        sets=expand("results/worlds/{{world}}/{set}.jsonl", set=data.SETS),
        corpus="results/worlds/{world}/corpus.parquet",
    log:
        "results/logs/small_world/{world}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=CODE.digest("world"),
        settings=slice_for(slices.world, "world"),
    shell:
        "python -m workflow_scripts world --code {params.code} --settings {params.settings:q} "
        "--sets {output.sets} --corpus {output.corpus} 2> {log}"


rule prepare_data:
    input:
        source_files,
    output:
        expand("results/data/{{target}}/{set}.parquet", set=data.SETS),
        report="results/data/{target}/report.json",
    log:
        "results/logs/prepare_data/{target}.log",
    conda:
        "../envs/training.yaml"
    params:
        code=CODE.digest("prepare_data"),
        settings=slice_for(slices.prepare_data, "target"),
    shell:
        "python -m workflow_scripts prepare_data --code {params.code} --settings {params.settings:q} "
        "--output results/data/{wildcards.target} 2> {log}"
