"""``python -m workflow_scripts STAGE``: the commands that the rules run."""

import argparse
import importlib
import logging
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NamedTuple, NoReturn

from workflow_scripts import warm
from workflow_scripts.core.errors import UserError


class Stage(NamedTuple):
    """A command: whether it needs torch, which takes seconds to import, and the network.

    There are as many of a ``brief`` one as of cells, and each does less than its imports.
    """

    help: str
    trains: bool = False
    online: bool = False
    brief: bool = False


STAGES = {
    "world": Stage("generate a small world: four sets of pairs and an encyclopedia"),
    "prepare_data": Stage("read, screen and deal the four sets of a target", online=True),
    "base_model": Stage("fetch or copy a base model, and check that it opens", online=True),
    "tokenizer": Stage("train a tokenizer on texts and pack them", trains=True),
    "pretrain": Stage("pretrain a base model", trains=True),
    "features": Stage("features of texts under a frozen model, for linear probes", trains=True),
    "train": Stage("fine-tune: SFT, ground truth or weak-to-strong", trains=True),
    "reference": Stage("log-probabilities under DPO's frozen reference", trains=True),
    "predict": Stage("margins of a trained model on the test set", trains=True),
    "weak_labels": Stage("label the weak set with a ground-truth model", trains=True),
    "probe": Stage("figures of one cell from four models' predictions", brief=True),
    "inspection": Stage("list the pairs on which a cell's student may deceive"),
    "cells": Stage("one table of all probes"),
    "tables": Stage("the paper's tables, in Markdown and LaTeX"),
    "figures": Stage("draw the report's figures", brief=True),
    "page": Stage("write the report as one HTML page"),
    "summary": Stage("print the table of cells"),
    "verify": Stage("check all results against their records"),
    "adopt": Stage("take over a finished run of an older version of the code"),
    "plan": Stage("print what would run now, on which GPUs, for how long"),
    "power": Stage("say which excess a run can show"),
    "preflight": Stage("check what a run on the cluster will need", online=True),
    "schema": Stage("print config.yaml's JSON Schema, for editors"),
}


def main(argv: list[str]) -> int:
    """Run one stage and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m workflow_scripts",
        description="The stages of the workflow, as its rules run them. Settings are JSON: copy a "
        "command from `snakemake -np` and change it.",
        epilog="\n".join(f"  {name:14}{stage.help}" for name, stage in STAGES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stage", choices=STAGES, metavar="STAGE")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="STAGE --help shows them")
    chosen = parser.parse_args(argv)
    stage = STAGES[chosen.stage]
    status = None
    try:
        if stage.trains:
            signal.signal(signal.SIGTERM, _stop)
        if stage.trains or stage.brief:
            status = warm.run_there(argv, patience=warm.PATIENCE if stage.trains else 0)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return run_stage(argv) if status is None else status


def run_stage(argv: list[str]) -> int:
    """Run one stage in this process and return its exit status."""
    name, *arguments = argv
    parsed = argparse.Namespace()
    try:
        try:
            _run(name, arguments, parsed)
        finally:
            # From here on there is nothing to clean up, nor anyone to catch what `_stop` raises.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
    except Exception as error:
        from workflow_scripts.runtime import failures, ranks

        line = failures.line_of(error, parsed)
        if line is None:
            raise
        which = "" if ranks.is_first() else f"rank {ranks.number()}: "
        print(f"error: {which}{line}", file=sys.stderr)
        return 1
    return 0


def _run(name: str, arguments: list[str], parsed: argparse.Namespace) -> None:
    """Run a stage, with its arguments parsed into ``parsed``, and record what it has made."""
    if STAGES[name].trains:
        # Before the imports, which take seconds.
        signal.signal(signal.SIGTERM, _stop)
    from workflow_scripts.reruns import provenance
    from workflow_scripts.runtime import environment, gpus, ranks, takeover

    environment.clear()
    environment.print_as_can_be()
    takeover.join()
    if not STAGES[name].online:
        os.environ.update(warm.OFFLINE)
    if STAGES[name].trains:
        ranks.join()
        if ranks.count() == 1:
            gpus.take(1)
    module = importlib.import_module(f"workflow_scripts.stages.{name}")
    parser = argparse.ArgumentParser(
        prog=f"python -m workflow_scripts {name}",
        description=module.__doc__,
        epilog="@FILE stands for the arguments in that file, one a line.",
        fromfile_prefix_chars="@",
    )
    module.add_arguments(parser)
    parser.add_argument("--code", help="digest of the stage's code, to keep with what it writes")
    parser.parse_args(arguments, parsed)
    began = time.monotonic()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    module.run(parsed)
    if parsed.code and ranks.is_first():
        provenance.record(name, parsed, time.monotonic() - began)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    """Say what ends this process, as a signal by itself would not; a second one ends it at once."""
    signal.signal(number, signal.SIG_IGN)
    then = "Slurm starts this job again" if _goes_on() else "run again"
    signal.signal(number, signal.SIG_DFL)
    raise UserError(f"stopped as told ({signal.Signals(number).name}); {then}")


def _goes_on() -> bool:
    """Have Slurm start this job again, where that helps, and return whether it will."""
    from workflow_scripts.config import paths
    from workflow_scripts.runtime import ranks
    from workflow_scripts.training import finished

    return ranks.is_first() and finished.read_out_in_another_start(Path(paths.STATES))


if __name__ == "__main__":
    ended_with = main(sys.argv[1:])
    if ended_with == 0:
        # All is done: a signal must not turn this into a failure.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(ended_with)
