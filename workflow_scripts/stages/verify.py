"""Stage ``verify``: is everything in ``results/`` what its record says?

Artefacts that are corrupt, half-written or different from what the workflow wrote are moved to
``results/.set_aside/``, so that the next run makes them again where they are needed.
"""

import argparse

from rich.console import Console

from workflow_scripts.core.errors import UserError
from workflow_scripts.reruns.verify import (
    FIXES,
    LEFT_IN_PLACE,
    faults,
    forget_versions,
    read_records,
    set_aside,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments: none, it looks at ``results/``."""


def run(args: argparse.Namespace) -> None:
    """Check, set aside what is wrong, and print it.

    Raises:
        UserError: if anything is wrong.
    """
    records = read_records()
    found = list(faults(records))
    for fault in found:
        if fault.kind not in LEFT_IN_PLACE:
            set_aside(fault.path)
    forget_versions(records.values())
    console = Console()
    present = [path for path in records if path.exists()]
    if not found:
        console.print(f"{len(present):,} artefacts are what their records say.")
        return
    for fault in found:
        console.print(f"[bold]{fault.kind:14}[/]{fault.path}: {fault.detail}", soft_wrap=True)
    for kind in dict.fromkeys(fault.kind for fault in found):
        console.print(f"[dim]{kind:14}{FIXES[kind]}", soft_wrap=True)
    raise UserError(
        f"{len(found)} of {len(present):,} artefacts are not what they were; run the workflow "
        "to make those again that were set aside"
    )
