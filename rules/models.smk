# Local, so that compute nodes need no network; a tokenizer is the work of seconds.
localrules:
    fetch_model,
    package_model,
    local_model,
    tokenizer,


rule fetch_model:
    output:
        directory("results/models/{model}"),
    log:
        "results/logs/fetch_model/{model}.log",
    wildcard_constraints:
        model=one_of(models_by("id")),
    retries: 2
    conda:
        "../envs/training.yaml"
    params:
        code=CODE.digest("base_model"),
        settings=slice_for(slices.base_model, "model"),
    shell:
        "python -m workflow_scripts base_model --code {params.code} --settings {params.settings:q} "
        "--output {output} 2> {log}"


use rule fetch_model as package_model with:
    output:
        directory("results/models/{model}"),
    log:
        "results/logs/package_model/{model}.log",
    wildcard_constraints:
        model=one_of(models_by("package")),


rule local_model:
    input:
        files=lambda wildcards: files_in(model_folder(wildcards)),
        folder=model_folder,
    output:
        directory("results/models/{model}"),
    log:
        "results/logs/local_model/{model}.log",
    wildcard_constraints:
        model=one_of(models_by("path")),
    conda:
        "../envs/training.yaml"
    params:
        code=CODE.digest("base_model"),
        settings=slice_for(slices.base_model, "model"),
    shell:
        "python -m workflow_scripts base_model --code {params.code} --settings {params.settings:q} "
        "--folder {input.folder} --output {output} 2> {log}"


rule tokenizer:
    input:
        corpus_texts,
    output:
        tokenizer=directory("results/corpora/{corpus}/tokenizer"),
        tokens="results/corpora/{corpus}/tokens.npy",
    log:
        "results/logs/tokenizer/{corpus}.log",
    conda:
        "../envs/training.yaml"
    params:
        code=CODE.digest("tokenizer"),
        settings=slice_for(slices.tokenizer, "corpus"),
    shell:
        "python -m workflow_scripts tokenizer --code {params.code} --settings {params.settings:q} --texts {input} "
        "--tokenizer {output.tokenizer} --tokens {output.tokens} 2> {log}"


rule pretrain:
    input:
        tokenizer=lambda wildcards: f"{corpus_of(wildcards)}/tokenizer",
        tokens=lambda wildcards: f"{corpus_of(wildcards)}/tokens.npy",
    output:
        model=directory("results/models/{model}"),
        record="results/pretraining/{model}/train.json",
        metrics="results/pretraining/{model}/metrics.jsonl",
    log:
        "results/logs/pretrain/{model}.log",
    wildcard_constraints:
        model=one_of(models_by("pretrain")),
    conda:
        "../envs/training.yaml"
    threads: EXECUTION.threads
    resources:
        **training_on("model", token_counts.pretrain, "model") | {"micro_batch": pretraining_batch},
    params:
        code=CODE.digest("pretrain"),
        settings=slice_for(slices.pretrain, "model"),
    shell:
        "{resources.launcher} pretrain --code {params.code} --settings {params.settings:q} "
        "--tokenizer {input.tokenizer} --tokens {input.tokens} "
        "--micro-batch {resources.micro_batch} --threads {threads} {resources.execution} "
        "--output {output.model} --record {output.record} --metrics {output.metrics} 2> {log}"
