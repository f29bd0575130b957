"""Stage ``adopt``: take a finished run over that an older version of the code made.

For changes of the code that can alter no result. Everything is checked against its record first.
Refused, with nothing touched, if any job would run for another reason than changed code.
"""

import argparse
from pathlib import Path

from rich.console import Console

from workflow_scripts.core.errors import UserError
from workflow_scripts.reruns import records
from workflow_scripts.reruns.adopt import (
    ANALYSIS,
    EVERYTHING,
    OF_FILES,
    Job,
    Workflow,
    additions,
    changed_analysis,
    refusals,
    update_records,
)
from workflow_scripts.reruns.remade import data_jobs, differences, put_in_place
from workflow_scripts.reruns.verify import FaultKind, faults

SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments."""
    parser.add_argument("--config", required=True, help="all of it, a JSON file")
    parser.add_argument("--snakefile", required=True, help="the workflow's Snakefile")
    parser.add_argument("--started-in", required=True, help="where its profiles are looked for")


def run(args: argparse.Namespace) -> None:
    """Check, take over, and print what was done.

    Raises:
        UserError: if an artefact is not what its record says, or a job would run for another
            reason than changed code.
    """
    console = Console()
    recorded = records.read_all()

    def stage_of(path: Path) -> str | None:
        return recorded.sound[path]["stage"] if path in recorded.sound else None

    workflow = Workflow(args.config, args.snakefile, args.started_in)
    pending = workflow.planned(EVERYTHING)
    changed = changed_analysis(pending, recorded.sound)
    left_out = ANALYSIS if changed else frozenset()
    wrong = [
        (fault.path, f"{fault.kind}: {fault.detail}")
        for fault in faults(recorded)
        # Whether anything needs it is Snakemake's to say; what is left out is made again.
        if fault.kind != FaultKind.MISSING and stage_of(fault.path) not in left_out
    ]
    _refuse(console, wrong, "run `snakemake verify`, and the workflow by the code that made them")
    added = additions(pending, recorded.sound) if changed else []
    new = {path for job in added for path in job.outputs}

    def taken(jobs: list[Job]) -> list[Job]:
        return [job for job in jobs if job.rule not in left_out and not new & set(job.outputs)]

    pending = taken(pending)
    sets = data_jobs(pending, recorded.sound)
    others = [job for job in pending if job not in sets]
    against = list(refusals(taken(workflow.planned(OF_FILES)), others, recorded.sound))
    if not against:
        against = differences(sets)
    _refuse(console, against, "run the workflow instead, or undo these changes and adopt first")
    if not pending:
        console.print("Nothing to take over: no job would run.")
        return
    # Records first: Snakemake's own metadata decide what is still to be taken over.
    put_in_place(sets, recorded.sound)
    updated = update_records(pending, recorded.sound)
    workflow.touch(but_for=sorted({*changed, *map(str, new)}))
    if left := taken(workflow.planned(EVERYTHING)):
        raise UserError(
            f"{len(left)} jobs would still run, {left[0].outputs[0]} for one: {left[0].reason}"
        )
    what = "the analysis is to be made again" if changed else "no job would run"
    if added:
        what += f", and {len(added):,} jobs are new"
    console.print(f"Took over {updated:,} results of {len(pending):,} jobs; {what}.")


def _refuse(console: Console, found: list, fix: str) -> None:
    """Print what stands against it, and raise that."""
    for path, reason in found[:SHOWN]:
        console.print(f"{path}: {reason}", soft_wrap=True, markup=False, highlight=False)
    if found:
        more = f", of which {SHOWN} are shown" if len(found) > SHOWN else ""
        raise UserError(f"nothing was taken over: {len(found)} reasons against it{more}; {fix}")
