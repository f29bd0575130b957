# Local: they are quick, or need a network that compute nodes may lack.
localrules:
    small_world,
    prepare_data,


rule small_world:
    output:
        sets=[paths.filled(paths.WORLD_SET, set=name) for name in data.SETS],
        corpus=paths.WORLD_CORPUS,
    log:
        paths.log("small_world", paths.WORLD),
    conda:
        "../envs/analysis.yaml"
    params:
        code=CODE.digest("world"),
        settings=slice_for(slices.world, "world"),
    message:
        "Generate the world {wildcards.world}"
    shell:
        "python -m workflow_scripts world --code {params.code:q} --settings {params.settings:q} "
        "--sets {output.sets:q} --corpus {output.corpus:q} 2> {log:q}"


rule prepare_data:
    input:
        source_files,
    output:
        [pairs_of(name) for name in data.SETS],
        report=paths.DATA_REPORT,
    log:
        paths.log("prepare_data", paths.DATA),
    conda:
        "../envs/training.yaml"
    params:
        code=CODE.digest("prepare_data"),
        settings=slice_for(slices.prepare_data, "target"),
        folder=subpath(output.report, parent=True),
    message:
        "Prepare the data: {wildcards.target}"
    shell:
        "python -m workflow_scripts prepare_data --code {params.code:q} --settings {params.settings:q} "
        "--output {params.folder:q} 2> {log:q}"
