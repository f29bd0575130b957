# What jobs ask for: GPUs and never a partition (a profile's partitions decide), and how the
# processes of a training are started. Resources, not params: none of it changes a result.

import math
from functools import cache

from workflow_scripts import hardware, workload


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
        stage: the function of `workload` that counts the job's tokens.
        names: the wildcards that it takes.
    """
    return lambda wildcards, attempt: request_for(
        wildcards[model], stage(EXPERIMENT, *(wildcards[name] for name in names)), attempt
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
    """Return the resources of a training: of the model that the wildcard ``model`` names."""
    request = requested(training_request, model, stage, names)

    def ranks_of_node(wildcards, attempt):
        """Return how many ranks Slurm is to start on each node, where that is more than one."""
        asked = request(wildcards, attempt)
        return asked.ranks // asked.nodes if asked.ranks > 1 else None

    return allocation(request) | {
        "nodes": lambda wildcards, attempt: request(wildcards, attempt).nodes,
        "mpi": lambda wildcards, attempt: "srun" if request(wildcards, attempt).ranks > 1 else None,
        "tasks_per_node": ranks_of_node,
        "launcher": lambda wildcards, attempt: launcher(request(wildcards, attempt)),
        "zero": lambda wildcards, attempt: request(wildcards, attempt).zero,
        "offload": lambda wildcards, attempt: int(request(wildcards, attempt).offload),
        "checkpointing": lambda wildcards, attempt: int(request(wildcards, attempt).checkpointing),
        "tensorboard": int(EXECUTION.tensorboard),
        "save_minutes": f"{EXECUTION.save_minutes:g}",
    }


def pretraining_batch(wildcards, attempt):
    """Return how many sequences a rank passes forward at once: all, then half of them, ..."""
    pretraining = EXPERIMENT.models[wildcards.model].pretrain
    tokens = workload.pretrain(EXPERIMENT, wildcards.model)
    share = pretraining.batch_size // training_request(wildcards.model, tokens, attempt).ranks
    return math.gcd(share, max(1, share // 2 ** (attempt - 1)))


def scoring_on(model, *sets):
    """Return the resources of scoring sets with the model that the wildcard ``model`` names."""

    def tokens(experiment, target):
        return workload.scoring(experiment, target, *sets)

    return allocation(requested(scoring_request, model, tokens, ["target"]))


def group_of(training):
    """Return the group of a training and of what is read off it: on a cluster, one job.

    A student that supervises another, in a chain, is of another group.
    """
    # Remote jobs are bounded by `jobs`, in dry runs too; on one machine there are no groups.
    remote = workflow.resource_settings.nodes is not None
    return lambda wildcards: training + wildcards.get("variant", "") if remote else None


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


def execution_of(folder):
    """Return the options of a training that change no result; ``folder`` is that of its outputs."""
    state = folder.replace("results/", "results/.state/", 1).replace("{", "{wildcards.")
    return (
        "--micro-batch {resources.micro_batch} --threads {threads} --zero {resources.zero} "
        "--offload {resources.offload} --checkpointing {resources.checkpointing} "
        "--tensorboard {resources.tensorboard} "
        f"--save-minutes {{resources.save_minutes}} --state {state} "
    )


def partitions_file(wildcards):
    """Return the profile's file of partitions, and nothing where there is no cluster."""
    file = getattr(workflow.executor_settings, "partition_config", None)
    return os.path.join(workflow.workdir_init, file) if file else []
