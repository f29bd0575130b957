# The workflow's rules, files and jobs without anything else: what Snakemake itself takes to plan them.
# Every input is what it is in rules/; there are no params, resources, logs, environments or captions.
DATA = "results/data/harmlessness"
SETS = ["gt", "weak", "test", "helpful"]
SFT = "results/sft/{target}/{model}/seed{seed}"
STUDENT_SFT = (
    "results/student_sft/{target}/{scenario}/{weak}/{strong}/{supervision}{variant}/seed{seed}"
)
GROUND_TRUTH = "results/ground_truth/{target}/{scenario}/{model}/seed{seed}"
WEAK_TO_STRONG = (
    "results/weak_to_strong/{target}/{scenario}/{weak}/{strong}/{conflict}{variant}/seed{seed}"
)
WEAK_LABELS = "results/weak_labels/{target}/{scenario}/{model}/seed{seed}.parquet"
STUDENT_LABELS = (
    "results/student_labels/{target}/{scenario}/{weak}/{strong}{variant}/seed{seed}.parquet"
)
PROBE = "results/probes/{target}/{scenario}/{weak}/{strong}/{conflict}{variant}/seed{seed}.json"
FIGURES = [
    "accuracies",
    "deception_score",
    "excess_deception",
    "capability_gap",
    "quadrants",
    "thresholds",
    "specifications",
    "bootstrapping",
    "reliability",
    "selection_control",
]
TABLES = [
    "accuracies",
    "conflict_tax",
    "deception_score",
    "excess_deception",
    "bootstrapping",
    "high_confidence",
    "mitigations",
]
SUPERVISION = {"implicit": "mixture", "implicit_matched": "matched_mixture"}
CELL = {
    "target": "harmlessness",
    "scenario": ["reward_model", "simpo", "dpo"],
    "conflict": ["none", "explicit", "implicit", "implicit_matched"],
    "seed": range(5),
    "variant": "",
}
MODELS = [f"model{number}" for number in range(11)]
PAIRS = [(weak, strong) for place, weak in enumerate(MODELS) for strong in MODELS[place + 1 :]]


wildcard_constraints:
    target="[A-Za-z0-9_.-]+",
    model="[A-Za-z0-9_.-]+",
    weak="[A-Za-z0-9_.-]+",
    strong="[A-Za-z0-9_.-]+",
    world="[A-Za-z0-9_.-]+",
    corpus="[A-Za-z0-9_.-]+",
    conflict="[A-Za-z0-9_.-]+",
    scenario="reward_model|simpo|dpo",
    figure="|".join(FIGURES),
    variant="(?:)",
    supervision="labels|mixture|matched_mixture",
    seed=r"\d+",


def of_cells(pattern):
    for weak, strong in PAIRS:
        yield from expand(pattern, weak=weak, strong=strong, **CELL)


def beside_checkpoints(name):
    students = of_cells(f"{WEAK_TO_STRONG}/{name}")
    return sorted({*students, *expand(f"{GROUND_TRUTH}/{name}", model=MODELS, **CELL)})


def folder_of(wildcards):
    supervision = SUPERVISION.get(wildcards.conflict, "labels")
    return STUDENT_SFT.format(supervision=supervision, **wildcards)


def base(wildcards):
    if wildcards.scenario == "reward_model":
        return f"results/models/{wildcards.strong}"
    return f"{folder_of(wildcards)}/checkpoint"


def reference_of(wildcards):
    return f"{folder_of(wildcards)}/reference.parquet" if wildcards.scenario == "dpo" else []


def helpful(wildcards):
    mixed = "mixture" in wildcards.get("supervision", "") or "implicit" in wildcards.get(
        "conflict", ""
    )
    return f"{DATA}/helpful.parquet" if mixed else []


def ceiling_base(wildcards):
    if wildcards.scenario == "reward_model":
        return f"results/models/{wildcards.model}"
    return f"{SFT.format(**wildcards)}/checkpoint"


def ceiling_reference(wildcards):
    return f"{SFT.format(**wildcards)}/reference.parquet" if wildcards.scenario == "dpo" else []


def second_weak(wildcards):
    if wildcards.seed == "0":
        return []
    earlier = {"model": wildcards.weak, "seed": int(wildcards.seed) - 1}
    return GROUND_TRUTH.format(**dict(wildcards) | earlier) + "/predictions.parquet"


rule all:
    input:
        "results/report/cells.csv",
        "results/report/cells.parquet",
        "results/report/aggregated.csv",
        "results/report/reliability.parquet",
        expand("results/report/tables/{table}.{kind}", table=TABLES, kind=["md", "tex", "csv"]),
        "results/report/index.html",
        beside_checkpoints("predictions.parquet"),
        list(of_cells(PROBE)),
        expand(
            "results/report/figures/{figure}_harmlessness.{kind}",
            figure=FIGURES,
            kind=["svg", "png"],
        ),


rule small_world:
    output:
        expand("results/worlds/{{world}}/{set}.jsonl", set=SETS),
        "results/worlds/{world}/corpus.parquet",
    shell:
        "touch {output}"


rule prepare_data:
    output:
        expand("results/data/{{target}}/{set}.parquet", set=SETS),
        report="results/data/{target}/report.json",
    shell:
        "touch {output}"


rule fetch_model:
    output:
        directory("results/models/{model}"),
    wildcard_constraints:
        model="|".join(MODELS),
    shell:
        "touch {output}"


use rule fetch_model as local_model with:
    wildcard_constraints:
        model="(?!)",


rule tokenizer:
    output:
        directory("results/corpora/{corpus}/tokenizer"),
        "results/corpora/{corpus}/tokens.npy",
    shell:
        "touch {output}"


rule pretrain:
    output:
        directory("results/models/{model}"),
        "results/pretraining/{model}/train.json",
        "results/pretraining/{model}/metrics.jsonl",
    wildcard_constraints:
        model="(?!)",
    shell:
        "touch {output}"


rule sft:
    input:
        "results/models/{model}",
        "results/data/{target}/gt.parquet",
    output:
        directory(f"{SFT}/checkpoint"),
        f"{SFT}/train.json",
        f"{SFT}/metrics.jsonl",
    shell:
        "touch {output}"


rule student_sft:
    input:
        "results/models/{strong}",
        "results/data/{target}/weak.parquet",
        WEAK_LABELS.replace("{model}", "{weak}"),
        helpful,
    output:
        directory(f"{STUDENT_SFT}/checkpoint"),
        f"{STUDENT_SFT}/train.json",
        f"{STUDENT_SFT}/metrics.jsonl",
    shell:
        "touch {output}"


rule reference:
    input:
        f"{SFT}/checkpoint",
        expand("results/data/{{target}}/{set}.parquet", set=["gt", "weak", "test"]),
    output:
        f"{SFT}/reference.parquet",
    shell:
        "touch {output}"


use rule reference as student_reference with:
    input:
        f"{STUDENT_SFT}/checkpoint",
        "results/data/{target}/weak.parquet",
        "results/data/{target}/test.parquet",
        helpful,
    output:
        f"{STUDENT_SFT}/reference.parquet",


use rule reference as labelling_reference with:
    input:
        f"{STUDENT_SFT}/checkpoint",
    output:
        f"{STUDENT_SFT}/labelling_reference.parquet",


rule ground_truth:
    input:
        ceiling_base,
        "results/data/{target}/gt.parquet",
        ceiling_reference,
    output:
        directory(f"{GROUND_TRUTH}/checkpoint"),
        f"{GROUND_TRUTH}/train.json",
        f"{GROUND_TRUTH}/metrics.jsonl",
    shell:
        "touch {output}"


rule weak_labels:
    input:
        f"{GROUND_TRUTH}/checkpoint",
        "results/data/{target}/weak.parquet",
        ceiling_reference,
    output:
        WEAK_LABELS,
    shell:
        "touch {output}"


use rule weak_labels as student_labels with:
    input:
        f"{WEAK_TO_STRONG.replace('{conflict}', 'none')}/checkpoint",
    output:
        STUDENT_LABELS,


rule weak_to_strong:
    input:
        base,
        "results/data/{target}/weak.parquet",
        WEAK_LABELS.replace("{model}", "{weak}"),
        helpful,
        reference_of,
    output:
        directory(f"{WEAK_TO_STRONG}/checkpoint"),
        f"{WEAK_TO_STRONG}/train.json",
        f"{WEAK_TO_STRONG}/metrics.jsonl",
    shell:
        "touch {output}"


rule ground_truth_predictions:
    input:
        f"{GROUND_TRUTH}/checkpoint",
        "results/data/{target}/test.parquet",
        ceiling_reference,
    output:
        f"{GROUND_TRUTH}/predictions.parquet",
    shell:
        "touch {output}"


use rule ground_truth_predictions as weak_to_strong_predictions with:
    input:
        f"{WEAK_TO_STRONG}/checkpoint",
        "results/data/{target}/test.parquet",
        reference_of,
    output:
        f"{WEAK_TO_STRONG}/predictions.parquet",


rule probe:
    input:
        f"{GROUND_TRUTH.replace('{model}', '{weak}')}/predictions.parquet",
        f"{GROUND_TRUTH.replace('{model}', '{strong}')}/predictions.parquet",
        f"{WEAK_TO_STRONG.replace('{conflict}', 'none')}/predictions.parquet",
        f"{WEAK_TO_STRONG}/predictions.parquet",
        second_weak,
    output:
        PROBE,
    shell:
        "touch {output}"


rule inspect:
    input:
        PROBE,
    output:
        PROBE.replace("probes", "inspect").replace("json", "html"),
        PROBE.replace("probes", "inspect").replace("json", "parquet"),
    shell:
        "touch {output}"


rule names_of_files:
    output:
        "results/.names/probes.txt",
        "results/.names/trainings.txt",
    shell:
        "touch {output}"


rule cells:
    input:
        "results/.names/probes.txt",
        list(of_cells(PROBE)),
    output:
        "results/report/cells.csv",
        "results/report/cells.parquet",
        "results/report/aggregated.csv",
        "results/report/reliability.parquet",
    shell:
        "touch {output}"


rule tables:
    input:
        "results/report/cells.parquet",
    output:
        expand("results/report/tables/{table}.{kind}", table=TABLES, kind=["md", "tex", "csv"]),
    shell:
        "touch {output}"


rule figure:
    input:
        "results/report/cells.parquet",
        "results/report/reliability.parquet",
    output:
        "results/report/figures/{figure}_{target}.svg",
        "results/report/figures/{figure}_{target}.png",
    shell:
        "touch {output}"


rule page:
    input:
        "results/report/cells.parquet",
        expand("results/report/figures/{figure}_harmlessness.svg", figure=FIGURES),
        f"{DATA}/report.json",
        "results/.names/trainings.txt",
        beside_checkpoints("train.json"),
    output:
        "results/report/index.html",
    shell:
        "touch {output}"


rule verify:
    shell:
        "true"
