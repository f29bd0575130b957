"""Stage ``verify``: is everything in ``results/`` what its record says?

Artefacts that are corrupt, half-written or different from what the workflow wrote are moved to
``results/.set_aside/``; the command that makes them again is printed.
"""

import argparse
import sys
from contextlib import suppress

from rich.console import Console

from workflow_scripts.core.errors import UserError, first_line
from workflow_scripts.reruns import provenance, records, times
from workflow_scripts.reruns.verify import (
    MEANING,
    SET_ASIDE_KINDS,
    command_to_make_again,
    faults,
    set_aside,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments."""
    parser.add_argument(
        "--temporary", nargs="*", default=[], help="templates of what the workflow deletes itself"
    )
    parser.add_argument(
        "--typed", default="snakemake verify", help="the command that asked for this"
    )


def run(args: argparse.Namespace) -> None:
    """Check, set aside what is wrong, and print it with the command that makes it again.

    Raises:
        UserError: if anything is wrong.
    """
    if not records.RESULTS.is_dir():
        raise UserError(f"{records.RESULTS}: is not here; run this in the folder of a run")
    found = records.read_all()
    wrong = list(faults(found, args.temporary))
    faulty = {fault.path for fault in wrong}
    sound = {path: made for path, made in found.sound.items() if path not in faulty}
    console = Console()
    # An archive that nobody may write to is read all the same.
    with suppress(OSError):
        provenance.renew_versions(found.sound.values())
        times.set_back(sound)
    if not wrong:
        present = sum(path.exists() for path in sound)
        console.print(f"{present:,} artefacts are what their records say.")
        return
    kinds = dict.fromkeys(fault.kind for fault in wrong)
    for fault in wrong:
        console.print(f"[bold]{fault.kind:14}[/]{fault.path}: {fault.detail}", soft_wrap=True)
    for kind in kinds:
        console.print(f"[dim]{kind:14}{MEANING[kind]}", soft_wrap=True)
    try:
        for fault in wrong:
            if fault.kind in SET_ASIDE_KINDS:
                set_aside(fault.path)
        command = command_to_make_again(args.typed, wrong)
    except OSError as error:
        raise UserError(
            f"{len(wrong)} artefacts are not what they were, and cannot be set aside "
            f"({first_line(error)}); run this where results/ can be written to"
        ) from error
    if command:
        console.print("These are made again by", soft_wrap=True)
        # As it is typed: not shortened, and nothing of it taken for a style.
        print(f"    {command}", file=sys.stdout)
    raise UserError(
        f"{len(wrong)} of {len(found.sound) + len(found.broken):,} artefacts are not what they "
        "were; make them again with the command above, and run this again"
    )
