# What jobs ask for: GPUs and never a partition (a profile's partitions decide), and how the
# processes of a training are started. Resources, not params: none of it changes a result.

import math
from functools import cache

from workflow_scripts.cluster import tokens as token_counts
from workflow_scripts.cluster import hardware


# A training and what is read off its model are one Slurm job, where one readout after another has the
# training's GPU. Set here, since Snakemake hands the limits of `--resources` to none of its jobs.
resource_scopes:
    readouts="local",


# Remote jobs are bounded by `jobs`, in dry runs too.
ON_CLUSTER = workflow.resource_settings.nodes is not None
IN_TURN = {}
if ON_CLUSTER or not workflow.is_main_process:
    IN_TURN["readouts"] = workflow.global_resources["readouts"] = 1


@cache
def training_request(model, tokens, attempt):
    """Return what a training of ``model`` asks for."""
    return hardware.request(EXPERIMENT, model, tokens=tokens, attempt=attempt)


@cache
def scoring_request(model, tokens, attempt):
    """Return what scoring texts with ``model`` asks for."""
    return hardware.scoring(EXPERIMENT, model, tokens=tokens, attempt=attempt)


def requested(request_for, model, stage, names):
    """Return a function of wildcards and attempt: the request of one job.

    Args:
        request_for: training_request or scoring_request.
        model: the wildcard that names the model.
        stage: the function of `cluster.tokens` that counts the job's tokens.
        names: the wildcards that it takes.
    """

    @cache
    def request(named, values, attempt):
        return request_for(named, stage(EXPERIMENT, *values), attempt)

    return lambda wildcards, attempt: request(
        wildcards[model], tuple(wildcards[name] for name in names), attempt
    )


def allocation(request):
    """Return the resources by which a cluster allocates a job, and the micro-batch that fits."""
    return {
        "gpu": lambda wildcards, attempt: request(wildcards, attempt).gpu,
        "gpu_model": lambda wildcards, attempt: (
            request(wildcards, attempt).gpu_model if request(wildcards, attempt).gpu else None
        ),
        "mem_mb": lambda wildcards, attempt: (
            request(wildcards, attempt).mem_mb // request(wildcards, attempt).nodes
        ),
        "runtime": lambda wildcards, attempt: request(wildcards, attempt).runtime_min,
        "micro_batch": lambda wildcards, attempt: request(wildcards, attempt).micro_batch,
    }


def training_on(model, stage, *names):
    """Return the resources of a training: of the model that the wildcard ``model`` names.

    A linear probe's head is trained on what one GPU has read, and asks for no more than reading.
    """
    whole = requested(training_request, model, stage, names)
    head = requested(scoring_request, model, stage, names)

    def request(wildcards, attempt):
        return (head if is_linear_probe(wildcards) else whole)(wildcards, attempt)

    def of_ranks(value):
        """Return a resource of several ranks: one has none of it, not even a node, which groups add up."""

        def resource(wildcards, attempt):
            asked = request(wildcards, attempt)
            return value(asked) if asked.ranks > 1 else None

        return resource

    return allocation(request) | {
        "nodes": of_ranks(lambda asked: asked.nodes),
        "mpi": of_ranks(lambda asked: "srun"),
        "tasks_per_node": of_ranks(lambda asked: asked.ranks // asked.nodes),
        "launcher": lambda wildcards, attempt: launcher(request(wildcards, attempt)),
        # One resource, since Snakemake takes its time over each resource of each job.
        "execution": lambda wildcards, attempt: options(request(wildcards, attempt)),
    }


def pretraining_batch(wildcards, attempt):
    """Return how many sequences a rank passes forward at once: all, then half of them, ..."""
    pretraining = EXPERIMENT.models[wildcards.model].pretrain
    tokens = token_counts.pretrain(EXPERIMENT, wildcards.model)
    share = pretraining.batch_size // training_request(wildcards.model, tokens, attempt).ranks
    return math.gcd(share, max(1, share // 2 ** (attempt - 1)))


def scoring_on(model, *sets):
    """Return the resources of scoring sets with the model that the wildcard ``model`` names."""

    def tokens(experiment, target):
        return token_counts.scoring(experiment, target, *sets)

    return allocation(requested(scoring_request, model, tokens, ["target"])) | IN_TURN


def group_of(training):
    """Return the group of a training and of what is read off it: on a cluster, one job.

    A student that supervises another, in a chain, is of another group. On one machine there are no
    groups.
    """
    if not ON_CLUSTER:
        return None
    return lambda wildcards: training + wildcards.get("variant", "")


def launcher(request):
    """Return what stands before a stage's name in the shell: one process, or as many as GPUs.

    The shell's place is taken: a shell would end at once at a signal that the training obeys by
    saving its state, and Slurm ends a step's processes when the first of them has ended.
    """
    if request.ranks == 1:
        return "exec python -m workflow_scripts"
    if "SLURM_JOB_ID" in os.environ:
        return (
            f"exec srun --ntasks={request.ranks} --nodes={request.nodes} --gpus={request.gpu} "
            f"--cpus-per-task={EXECUTION.threads} --kill-on-bad-exit=1 python -m workflow_scripts"
        )
    return f"exec python -m workflow_scripts.launch --ranks {request.ranks} --"


def options(request):
    """Return the options of a training that change no result, as its model's plan has them."""
    return (
        "--states results/.state "
        f"--zero {request.zero} --offload {request.offload:d} "
        f"--checkpointing {request.checkpointing:d} --tensorboard {EXECUTION.tensorboard:d} "
        f"--save-minutes {EXECUTION.save_minutes:g}"
    )


def partitions_file(wildcards):
    """Return the profile's file of partitions, and nothing where there is no cluster."""
    file = getattr(workflow.executor_settings, "partition_config", None)
    return os.path.join(workflow.workdir_init, file) if file else []
