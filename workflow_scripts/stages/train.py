"""Stage ``train``: SFT, ground truth and weak-to-strong training of one model."""

import argparse

from workflow_scripts.config.stage_settings import TrainSettings, add_settings
from workflow_scripts.core.errors import UserError
from workflow_scripts.training.execution import Execution, add_execution_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments."""
    add_settings(parser, TrainSettings)
    parser.add_argument("--model", required=True, help="folder of the model to start from")
    parser.add_argument("--pairs", required=True, help="pairs to train on")
    # An input that a rule leaves empty is an option without a value.
    parser.add_argument(
        "--weak-labels",
        nargs="*",
        help="labels for --pairs, several to be averaged; without it they are the true ones",
    )
    parser.add_argument("--helpful", nargs="?", help="the competing goal's pairs, for a mixture")
    parser.add_argument(
        "--reference", nargs="?", help="the reference model's log-probabilities, for dpo"
    )
    parser.add_argument("--features", nargs="*", help="features of the pairs, for a linear probe")
    parser.add_argument("--checkpoint", required=True, help="folder to write")
    parser.add_argument(
        "--record", required=True, help="JSON file to write: losses, tokens, seconds, ..."
    )
    parser.add_argument("--metrics", required=True, help="JSON lines to write while training")
    add_execution_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Train, then write the checkpoint and the record.

    Raises:
        UserError: if an input is missing, broken or does not fit the settings.
    """
    import torch
    import transformers

    from workflow_scripts.core import seeds
    from workflow_scripts.core.files import write_json
    from workflow_scripts.methods.conflicts.none import NoConflict
    from workflow_scripts.models import checkpoints
    from workflow_scripts.models.scorer import shares_prompts
    from workflow_scripts.reruns import digests
    from workflow_scripts.runtime import ranks
    from workflow_scripts.training import telemetry, trainer
    from workflow_scripts.training.examples import examples_of
    from workflow_scripts.training.held_out import held_out
    from workflow_scripts.training.resume import Attempt
    from workflow_scripts.training.schedule import Optimisation
    from workflow_scripts.training.supervision import supervised_pairs

    torch.set_num_threads(args.threads)
    settings = TrainSettings.parsed(args.settings)
    method, compat = settings.method, settings.compat
    if args.weak_labels and settings.conflict is None:
        raise UserError("--settings: conflict: missing; a student is trained under one")
    inputs = [
        args.model,
        args.pairs,
        *(args.weak_labels or []),
        args.helpful,
        args.reference,
        *(args.features or []),
    ]
    code = args.code or digests.of_stage(__name__)
    outputs = [args.checkpoint, args.record, args.metrics]
    execution = Execution.of(args)
    attempt = Attempt(execution, code, settings.content(), inputs, outputs)
    if attempt.has_finished():
        return
    conflict = settings.conflict or NoConflict()
    pairs, per_epoch = supervised_pairs(
        settings,
        conflict,
        pairs=args.pairs,
        weak_labels=args.weak_labels or [],
        helpful=args.helpful,
    )
    transformers.set_seed(seeds.seed(settings.seed))
    tokenizer = checkpoints.load_tokenizer(args.model)
    model = checkpoints.load_base(args.model, method.readout(compat), settings.lora)
    if compat.head_init == "reference":
        checkpoints.redraw_head(model)
    together = shares_prompts(model, settings.max_length)
    examples = examples_of(
        settings,
        pairs,
        per_epoch,
        tokenizer,
        reference=args.reference,
        features=args.features or [],
        together=together,
        shared_out=bool(args.zero) or ranks.count() > 1,
    )
    watched = held_out(execution, settings, tokenizer, reference=args.reference, together=together)
    with attempt:
        course = trainer.train(
            model,
            method.readout(compat),
            examples,
            method.objective(conflict, settings.student, compat),
            Optimisation.of(method, settings.adam),
            execution,
            attempt,
            seed=settings.seed,
            metrics=args.metrics,
            compat=compat,
            held_out=watched,
        )
        if ranks.is_first():
            checkpoints.save(model, tokenizer, args.checkpoint, settings.checkpoint_dtype)
            record = telemetry.record(course, settings.content(), len(pairs), args.micro_batch)
            write_json(args.record, record)
