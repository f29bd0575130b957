"""How a training is carried out: options that change last digits of a result at most."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.kernels import KERNELS, Kernel

CHANGES_NO_RESULT = "knobs of speed"


@dataclass(frozen=True)
class Evaluation:
    """What a training is watched on: the first ``count`` pairs of a file, every so many steps."""

    pairs: str
    count: int
    every: int


@dataclass(frozen=True)
class Execution:
    """How a training is carried out.

    Attributes:
        micro_batch: examples in one forward of one rank; where they are packed, as many tokens as
            so many of the greatest length have.
        zero: DeepSpeed's ZeRO stage; 0 is none.
        offload: whether the optimizer's state is in the host's memory.
        checkpointing: whether activations are computed again in the backward pass.
        attention: whether attention skips blocks of what does not see each other (``flex``).
        tensorboard: whether to log to tensorboard/ next to the metrics as well.
        report_to: services that get the logs as well, as the Trainer calls them.
        evaluation: what it is watched on, None where it is not.
        states: folder next to the results for all that trainings keep, or None to keep nothing.
        state: this training's own.
        saved: where its state is, from which it goes on after an interruption.
        save_minutes: how often that is written.
    """

    micro_batch: int
    zero: Literal[0, 2, 3] = 0
    offload: bool = False
    checkpointing: bool = False
    attention: Kernel = "dense"
    tensorboard: bool = False
    report_to: tuple[str, ...] = ()
    evaluation: Evaluation | None = None
    states: Path | None = None
    state: Path | None = None
    saved: Path | None = None
    save_minutes: float = 30.0

    @classmethod
    def of(cls, args: argparse.Namespace) -> "Execution":
        """Pick the execution out of a training stage's arguments."""
        states = state = saved = None
        if args.states is not None:
            states = Path(args.states)
            state = saved = _own(args.states, args.record)
            if args.states_elsewhere is not None:
                saved = Path(args.states_elsewhere) / state.relative_to(states)
        return cls(
            micro_batch=args.micro_batch,
            zero=cast(Literal[0, 2, 3], args.zero),
            offload=bool(args.offload),
            checkpointing=bool(args.checkpointing),
            attention=cast(Kernel, args.attention),
            tensorboard=bool(args.tensorboard),
            report_to=tuple(args.report_to),
            evaluation=_evaluation(args),
            states=states,
            state=state,
            saved=saved,
            save_minutes=args.save_minutes,
        )


def add_execution_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that all training stages share. Switches are 0 or 1, as in resources."""
    group = parser.add_argument_group("execution", "these change last digits at most")
    group.add_argument("--micro-batch", type=int, required=True, help="examples in one forward")
    group.add_argument("--threads", type=int, required=True, help="CPU threads of each rank")
    group.add_argument(
        "--zero", type=int, choices=(0, 2, 3), default=0, help="DeepSpeed's ZeRO stage; 0: none"
    )
    _add_switch(group, "--offload", "keep the optimizer's state in the host's memory (ZeRO)")
    _add_switch(group, "--checkpointing", "compute activations again in the backward pass")
    group.add_argument(
        "--attention",
        choices=KERNELS,
        default="dense",
        help="flex: skip what does not see each other, where a GPU's kernel does it",
    )
    _add_switch(group, "--tensorboard", "log to tensorboard/ next to the metrics as well")
    group.add_argument(
        "--report-to", nargs="+", default=[], help="services that get the logs: wandb, ..."
    )
    group.add_argument("--evaluate", help="pairs to watch the training on; no result depends on it")
    group.add_argument("--evaluate-pairs", type=int, default=200, help="how many of them")
    group.add_argument("--evaluate-every", type=int, default=50, help="after so many steps each")
    group.add_argument(
        "--states",
        help="folder next to the results for what interrupted trainings go on from; this one's is "
        "named as the folder of --record",
    )
    group.add_argument("--states-elsewhere", help="folder for the states alone, which are large")
    group.add_argument("--save-minutes", type=float, default=30.0, help="how often that is written")


def _evaluation(args: argparse.Namespace) -> Evaluation | None:
    if args.evaluate is None:
        return None
    return Evaluation(args.evaluate, args.evaluate_pairs, args.evaluate_every)


def _own(states: str, record: str) -> Path:
    """Return a training's own folder in that of all states, which is next to the results."""
    folder, results = Path(record).parent, Path(states).parent
    if not folder.is_relative_to(results):
        raise UserError(f"--states {states}: is not in a folder that --record {record} is in too")
    return Path(states) / folder.relative_to(results)


def _add_switch(group: argparse._ArgumentGroup, name: str, meaning: str) -> None:
    group.add_argument(name, type=int, choices=(0, 1), default=0, help=f"1: {meaning}")
