"""Stage ``train``: SFT, ground truth and weak-to-strong training of one model."""

import argparse
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workflow_scripts.core.errors import UserError
from workflow_scripts.training.execution import Execution, add_execution_arguments

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from workflow_scripts.config.training import Compat
    from workflow_scripts.data.pairs import Pairs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments."""
    parser.add_argument("--settings", type=json.loads, required=True, help="settings, as JSON")
    parser.add_argument("--model", required=True, help="folder of the model to start from")
    parser.add_argument("--pairs", required=True, help="pairs to train on")
    # An input that a rule leaves empty is an option without a value.
    parser.add_argument(
        "--weak-labels", nargs="?", help="labels for --pairs; without it they are the true ones"
    )
    parser.add_argument(
        "--helpful", nargs="?", help="pairs of the competing goal, for an implicit conflict"
    )
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
    import numpy as np
    import torch
    import transformers

    from workflow_scripts.config.conflicts import conflict_of
    from workflow_scripts.config.training import Compat
    from workflow_scripts.core import seeds
    from workflow_scripts.core.files import write_json
    from workflow_scripts.data import pairs as data_pairs
    from workflow_scripts.models import checkpoints, frozen_features, tokenise
    from workflow_scripts.models.scorer import readout_of, shares_prompts
    from workflow_scripts.reruns import digests
    from workflow_scripts.runtime import ranks
    from workflow_scripts.training import telemetry, trainer
    from workflow_scripts.training.examples import Examples
    from workflow_scripts.training.objectives import OBJECTIVES
    from workflow_scripts.training.resume import Attempt
    from workflow_scripts.training.schedule import Optimisation

    torch.set_num_threads(args.threads)
    settings = args.settings
    objective_name = settings["objective"]
    if objective_name not in OBJECTIVES:
        raise UserError(f"objective {objective_name}: not one of {', '.join(OBJECTIVES)}")
    compat = Compat.model_validate(settings.get("compat", {}))
    readout = readout_of(objective_name, compat)
    conflict = conflict_of(settings.get("conflict"))
    labelled, helpful = _supervision(args, compat)
    pairs = conflict.data(labelled, helpful)
    references = np.zeros(len(pairs))
    if objective_name == "dpo":
        if args.reference is None:
            raise UserError(
                "objective dpo: needs the frozen model's log-probabilities; give --reference"
            )
        references = data_pairs.reference_margins(args.reference, pairs.ids)

    transformers.set_seed(seeds.seed(settings["seed"]))
    tokenizer = checkpoints.load_tokenizer(args.model)
    model = checkpoints.load_base(args.model, readout)
    columns = [pairs.preferred()] if objective_name == "sft" else [pairs.chosen, pairs.rejected]
    if settings.get("linear_probe"):
        if not args.features:
            raise UserError("linear_probe: needs the backbone's features; give --features")
        if args.zero or ranks.count() > 1:
            raise UserError(
                "linear_probe: a head is trained on one rank; leave out ranks and --zero"
            )
        sequences = frozen_features.read_features(args.features, pairs.ids)
    else:
        sequences = tokenise.tokenise(
            tokenizer,
            pairs.ids,
            pairs.prompts,
            columns,
            settings["max_length"],
            bos_in_response=compat.bos_in_response == "reference",
        )
    per_epoch = conflict.pairs_per_epoch(len(labelled), len(pairs))
    if compat.implicit_steps == "reference":
        per_epoch = len(pairs)
    rows = tokenise.members(len(sequences), len(pairs))
    order = _order(settings, sequences.row_lengths(rows), per_epoch)
    together = shares_prompts(model)
    examples = Examples(pairs.ids, sequences, pairs.labels, references, order, together)
    execution = Execution.of(args)
    inputs = [
        args.model,
        args.pairs,
        args.weak_labels,
        args.helpful,
        args.reference,
        *(args.features or []),
    ]
    code = args.code or digests.of_stage(__name__)
    with Attempt(execution, code, settings, inputs) as attempt:
        course = trainer.train(
            model,
            readout,
            examples,
            OBJECTIVES[objective_name](settings, conflict, compat),
            Optimisation.of(settings),
            execution,
            attempt,
            seed=settings["seed"],
            metrics=args.metrics,
        )
        if ranks.is_first():
            checkpoints.save(model, tokenizer, args.checkpoint)
            record = telemetry.record(course, settings, len(pairs), args.micro_batch)
            write_json(args.record, record)


def _order(
    settings: Mapping[str, Any], lengths: "NDArray[np.int64]", per_epoch: int
) -> "NDArray[np.int64]":
    """Return the examples of each step's batch, ``[steps, batch]``, in the order asked for."""
    from workflow_scripts.training import data_order

    sizes = {
        "batch_size": settings["batch_size"],
        "epochs": settings["epochs"],
        "per_epoch": per_epoch,
    }
    match settings.get("data_order", "shuffled"):
        case "shuffled":
            return data_order.shuffled(lengths, **sizes, seed=settings["seed"])
        case "file":
            return data_order.as_in_file(lengths, **sizes)
        case unknown:
            raise UserError(f"data_order {unknown}: not one of shuffled, file")


def _supervision(args: argparse.Namespace, compat: "Compat") -> "tuple[Pairs, Pairs | None]":
    """Return the labelled pairs, as the arguments say, and those of the competing goal.

    A student's filter keeps the pairs that are labelled with confidence, and as many of the
    competing goal's, its first ones.
    """
    import numpy as np

    from workflow_scripts.data import pairs as data_pairs

    pairs = data_pairs.read_pairs(args.pairs)
    helpful = None if args.helpful is None else data_pairs.read_pairs(args.helpful)
    if args.weak_labels is None:
        return pairs, helpful
    pairs = data_pairs.with_weak_labels(pairs, args.weak_labels, args.settings["objective"])
    threshold = args.settings.get("student", {}).get("filter")
    if threshold is None:
        return pairs, helpful
    pairs = data_pairs.with_high_confidence(
        pairs, args.weak_labels, threshold, peek=compat.filter_peek == "reference"
    )
    if helpful is not None:
        helpful = helpful.at(np.arange(min(len(pairs), len(helpful))))
    return pairs, helpful
