"""The arguments of ``transformers.Trainer`` for a training."""

import math

import torch
from transformers import TrainingArguments

from workflow_scripts.core import seeds
from workflow_scripts.core.errors import UserError
from workflow_scripts.runtime import ranks
from workflow_scripts.training import zero
from workflow_scripts.training.examples import Examples
from workflow_scripts.training.execution import Execution
from workflow_scripts.training.schedule import Optimisation


def training_arguments(
    scratch: str,
    examples: Examples,
    optimisation: Optimisation,
    execution: Execution,
    weights: int,
    seed: str,
) -> TrainingArguments:
    """Return the Trainer's arguments: nothing to save, and to log about a hundred times.

    Args:
        scratch: the folder that the Trainer insists on.
        examples: the data and their order.
        optimisation: learning rate and Adam's numbers.
        execution: how the training is carried out.
        weights: how many the model has.
        seed: the run's name.

    Raises:
        UserError: if the micro-batches of all ranks do not divide the batch.
    """
    steps, batch_size = examples.order.shape
    at_once = execution.micro_batch * ranks.count()
    if batch_size % at_once:
        each = f" on each of {ranks.count()} ranks" if ranks.count() > 1 else ""
        raise UserError(
            f"micro-batch {execution.micro_batch}{each} does not divide the batch of "
            f"{batch_size} pairs"
        )
    on_gpu = torch.cuda.is_available()
    if execution.zero:
        zero.prepare(on_gpu)
    return TrainingArguments(
        output_dir=scratch,
        seed=seeds.seed(seed),
        max_steps=steps,
        # A rank's share of a step: the trainer cuts it into micro-batches itself.
        per_device_train_batch_size=batch_size // ranks.count(),
        learning_rate=optimisation.learning_rate,
        optim="adamw_torch_fused",
        adam_beta1=optimisation.beta1,
        adam_beta2=optimisation.beta2,
        adam_epsilon=optimisation.epsilon,
        weight_decay=0.0,
        max_grad_norm=0.0,
        # Told of a CPU, the Trainer would leave DeepSpeed out.
        use_cpu=not on_gpu and not execution.zero,
        deepspeed=zero.configuration(execution, weights, on_gpu),
        accelerator_config={"use_configured_state": bool(execution.zero) and not on_gpu},
        dataloader_pin_memory=on_gpu,
        logging_steps=math.ceil(steps / 100),
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to=list(execution.report_to) if ranks.is_first() else "none",
        run_name=seed,
        disable_tqdm=True,
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
    )
