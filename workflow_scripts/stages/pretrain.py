"""Stage ``pretrain``: a small language model from a corpus, for worlds without a hub."""

import argparse
from dataclasses import replace

from workflow_scripts.config.stage_settings import PretrainSettings, add_settings
from workflow_scripts.core.errors import UserError
from workflow_scripts.training.execution import Execution, add_execution_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments."""
    add_settings(parser, PretrainSettings)
    parser.add_argument("--tokenizer", required=True, help="folder of the tokenizer")
    parser.add_argument("--tokens", required=True, help="the corpus in tokens")
    parser.add_argument("--output", required=True, help="folder to write, in the hub's format")
    parser.add_argument(
        "--record", required=True, help="JSON file to write: losses, tokens, seconds, ..."
    )
    parser.add_argument("--metrics", required=True, help="JSON lines to write while training")
    add_execution_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Pretrain, then write the model with its tokenizer and the record.

    The loss is that of SFT with every token but a sequence's first as response.

    Raises:
        UserError: if an input is missing, broken or does not fit the settings.
    """
    import numpy as np
    import torch
    import transformers

    from workflow_scripts.core import seeds
    from workflow_scripts.core.files import write_json
    from workflow_scripts.methods.compat import Compat
    from workflow_scripts.methods.objectives import Likelihood
    from workflow_scripts.methods.readout import Readout
    from workflow_scripts.models import checkpoints
    from workflow_scripts.models.depth import first_layers
    from workflow_scripts.reruns import digests
    from workflow_scripts.runtime import ranks
    from workflow_scripts.training import telemetry, trainer
    from workflow_scripts.training.pretraining import fresh_model, windows
    from workflow_scripts.training.resume import Attempt
    from workflow_scripts.training.schedule import Optimisation

    torch.set_num_threads(args.threads)
    settings = PretrainSettings.parsed(args.settings)
    # Windows of one length need no mask.
    execution = replace(Execution.of(args), attention="dense")
    code = args.code or digests.of_stage(__name__)
    inputs = [args.tokenizer, args.tokens]
    outputs = [args.output, args.record, args.metrics]
    attempt = Attempt(execution, code, settings.content(), inputs, outputs)
    if attempt.has_finished():
        return
    tokens = np.load(args.tokens)[: settings.tokens]
    tokenizer = checkpoints.load_tokenizer(args.tokenizer)
    if tokens.max() >= len(tokenizer):
        raise UserError(
            f"{args.tokens}: has token {tokens.max()}, but {args.tokenizer} knows "
            f"{len(tokenizer)}; "
            "delete both and run again"
        )
    transformers.set_seed(seeds.seed(settings.seed))
    model = fresh_model(settings.architecture, tokenizer)
    examples = windows(settings, tokens)
    with attempt:
        course = trainer.train(
            model,
            Readout.MEAN_LOG_PROBABILITY,
            examples,
            Likelihood(),
            Optimisation(settings.learning_rate, "cosine", 0.0, 0.9, 0.999, 1e-8),
            execution,
            attempt,
            seed=settings.seed,
            metrics=args.metrics,
            compat=Compat(),
        )
        if ranks.is_first():
            if settings.depth:
                model = first_layers(model, settings.depth)
            checkpoints.save(model, tokenizer, args.output)
            count = len(examples.ids)
            record = telemetry.record(course, settings.content(), count, args.micro_batch)
            write_json(args.record, record)
