rule ground_truth:
    input:
        model=branch(
            is_reward_model,
            then="results/models/{model}",
            otherwise=f"{SFT}/checkpoint",
        ),
        pairs="results/data/{target}/gt.parquet",
        reference=branch(is_dpo, then=f"{SFT}/reference.parquet", otherwise=[]),
        features=branch(
            is_linear_probe, then="results/features/{target}/{model}/gt.parquet", otherwise=[]
        ),
    output:
        checkpoint=directory(f"{GROUND_TRUTH}/checkpoint"),
        record=f"{GROUND_TRUTH}/train.json",
        metrics=f"{GROUND_TRUTH}/metrics.jsonl",
    log:
        "results/logs/ground_truth/{target}/{scenario}/{model}/seed{seed}.log",
    conda:
        "../envs/training.yaml"
    threads: EXECUTION.threads
    resources:
        micro_batch=EXECUTION.micro_batch,
        tensorboard=TENSORBOARD,
    params:
        code=lambda wildcards: CODE.digest("train", wildcards.scenario, "none"),
        settings=slice_for(slices.ground_truth, "target", "scenario", "model", "seed"),
    shell:
        "python -m workflow_scripts train --code {params.code} --settings {params.settings:q} "
        "--model {input.model} --pairs {input.pairs} --reference {input.reference} "
        "--features {input.features} "
        "--micro-batch {resources.micro_batch} --threads {threads} "
        "--checkpoint {output.checkpoint} --record {output.record} --metrics {output.metrics} "
        "--tensorboard {resources.tensorboard} 2> {log}"
