# What jobs ask for: GPUs and never a partition (a profile's partitions decide), and how the
# processes of a training are started. Resources, not params: none of it changes a result.

from functools import cache

from workflow_scripts.cluster import local_checks
from workflow_scripts.runtime import gpus


# A training and what is read off its model are one Slurm job, where one readout after another has the
# training's GPUs. Set here, since Snakemake hands the limits of `--resources` to none of its jobs.
resource_scopes:
    readouts="local",


# Remote jobs are bounded by `jobs`, in dry runs too.
ON_CLUSTER = workflow.resource_settings.nodes is not None
# Without `--cores` one is used, so that commands and single files run as typed.
if not ON_CLUSTER and workflow.resource_settings.cores is None:
    workflow.resource_settings.cores = workflow.global_resources["_cores"] = 1
IN_TURN = {}
if ON_CLUSTER or not workflow.is_main_process:
    IN_TURN["readouts"] = workflow.global_resources["readouts"] = 1

try:
    COSTS = work.Costs(
        EXPERIMENT,
        limits.Limits.of_file(EXPERIMENT, STARTED.partitions) if STARTED.partitions else None,
    )
    if IN_CONTAINERS:
        local_checks.check_containers(EXPERIMENT)
    lists_files = "--summary" in sys.argv or not workflow.is_main_process
    if not lists_files and not (STARTED.targets and STARTED.targets <= COMMANDS):
        COSTS.check(asked.uses_of(STARTED.targets, EXPERIMENT))
except UserError as error:
    raise WorkflowError(str(error))
# What is asked of Slurm, as far as some job has it. Snakemake takes its time over each.
RESOURCES = {"gpu", "mem_mb", "runtime"}
if ON_CLUSTER or not workflow.is_main_process:
    RESOURCES |= COSTS.resources()
if ON_CLUSTER and workflow.is_main_process:
    # Before Slurm's own sbatch stands one with more patience.
    submitting = on_a_path(os.path.join(workflow.basedir, "profiles/slurm/bin"))
    os.environ.update(PATH=os.pathsep.join([submitting, os.getenv("PATH", os.defpath)]))
if workflow.is_main_process:
    logger.addFilter(attempts.Failures(on_cluster=ON_CLUSTER))

# On one machine as many jobs run at once as there are GPUs, each on its own (runtime/gpus.py); where
# there are none, trainings run on the CPU, as many as there are cores.
# A job of a cluster that asks for GPUs of several nodes sees those of one.
VISIBLE = 0 if ON_CLUSTER or not workflow.is_main_process else len(gpus.visible_here())
if VISIBLE and workflow.global_resources.get("gpu").value is None:
    workflow.global_resources["gpu"] = VISIBLE


def check_gpus():
    """Refuse a run on this machine whose trainings ask for more GPUs than it has."""
    try:
        if VISIBLE:
            local_checks.check_gpus(EXPERIMENT, VISIBLE)
    except UserError as error:
        raise WorkflowError(str(error))


@cache
def request(output, fields, attempt):
    """Return what the job that makes ``output`` asks for; ``fields`` are pairs of name and value."""
    return COSTS.request(output, dict(fields), attempt)


def requested(output):
    """Return a function of wildcards and attempt: what the job that makes ``output`` asks for."""
    return lambda wildcards, attempt: request(output, tuple(wildcards.items()), attempt)


def allocation(request):
    """Return the resources by which a cluster allocates a job, and the micro-batch that fits."""
    names = {"gpu", "gpu_model", "gres", "mem_mb", "runtime"} & RESOURCES
    return {
        **{name: of_request(request, name) for name in sorted(names)},
        "micro_batch": lambda wildcards, attempt: request(wildcards, attempt).micro_batch,
    }


def of_request(request, name):
    """Return one of the resources by which a cluster allocates a job."""
    return lambda wildcards, attempt: request(wildcards, attempt).resources[name]


def training_for(output):
    """Return the resources of the training that makes ``output``."""
    request = requested(output)
    return on_ranks(request) | {
        # One resource, since Snakemake takes its time over each resource of each job.
        "execution": lambda wildcards, attempt: options(
            request(wildcards, attempt), wildcards.get("target")
        ),
    }


def on_ranks(request):
    """Return the resources of a job that may run on several ranks, and what starts them."""
    of_ranks = {"nodes", "mpi", "tasks_per_node"} & RESOURCES
    return allocation(request) | {
        **{name: of_request(request, name) for name in sorted(of_ranks)},
        "launcher": lambda wildcards, attempt: launcher(request(wildcards, attempt)),
    }


def longest_first(output):
    """Return a job's priority: its estimated seconds, since what starts last ends last."""
    return lambda wildcards: COSTS.of(output.format(**wildcards)).seconds


def scoring_for(output):
    """Return the resources of scoring sets with a trained model, for ``output``."""
    return on_ranks(requested(output)) | IN_TURN


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
    # A container has no srun.
    if "SLURM_JOB_ID" in os.environ and not IN_CONTAINERS:
        gpus = f"--gres={request.gres}" if request.gres else f"--gpus={request.gpu}"
        return (
            f"exec srun --ntasks={request.ranks} --nodes={request.nodes} {gpus} "
            f"--ntasks-per-node={request.ranks // request.nodes} "
            f"--cpus-per-task={EXECUTION.threads} --kill-on-bad-exit=1 python -m workflow_scripts"
        )
    return f"exec python -m workflow_scripts.launch --ranks {request.ranks} --"


def options(request, target):
    """Return the options of a training that change no result, as its model's plan has them.

    ``target`` names the sets of its pairs; it is None where it is trained on none.
    """
    said = (
        f"--states {paths.STATES} "
        f"--zero {request.zero} --offload {request.offload:d} "
        f"--checkpointing {request.checkpointing:d} --attention {EXECUTION.attention} "
        f"--tensorboard {EXECUTION.tensorboard:d} "
        f"--save-minutes {EXECUTION.save_minutes:g}"
    )
    if EXECUTION.states:
        # Quoted here, since it is part of a resource that is several words.
        said += f" --states-elsewhere {shlex.quote(EXECUTION.states)}"
    if EXECUTION.report_to:
        said += f" --report-to {' '.join(EXECUTION.report_to)}"
    if EXECUTION.evaluation and target:
        # It is made together with the pairs that are trained on, so that it is no input.
        said += (
            f" --evaluate {paths.PAIRS.format(target=target, set='test')} "
            f"--evaluate-pairs {EXECUTION.evaluation.pairs} "
            f"--evaluate-every {EXECUTION.evaluation.every}"
        )
    return said
