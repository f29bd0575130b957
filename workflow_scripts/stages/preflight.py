"""Stage ``preflight``: check, before anything is run, what a run will need, on a cluster or here.

Each check prints one line: what was found, or what is wrong and how to fix it.
"""

import argparse
import shutil
import sys

from rich.console import Console
from rich.table import Table

from workflow_scripts.cluster.input_checks import (
    data_findings,
    disk_finding,
    model_findings,
    states_finding,
)
from workflow_scripts.cluster.limits import Limits
from workflow_scripts.cluster.local_checks import gpu_findings
from workflow_scripts.cluster.plan import outputs, planned
from workflow_scripts.cluster.slurm_checks import (
    account_finding,
    node_findings,
    partition_findings,
)
from workflow_scripts.config.experiment import load
from workflow_scripts.config.layers import read_layers
from workflow_scripts.core.errors import UserError
from workflow_scripts.runtime import gpus
from workflow_scripts.stages.plan import add_workflow_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments."""
    add_workflow_arguments(parser)
    parser.add_argument("--account", nargs="?", help="the account that jobs are charged to")


def run(args: argparse.Namespace) -> None:
    """Print every finding.

    Raises:
        UserError: if a check failed.
    """
    if args.partitions and shutil.which("sinfo") is None:
        raise UserError("preflight: no `sinfo` here; run it where jobs are submitted from")
    config = load(read_layers([args.config], {}))
    plan = planned(config, outputs(args.config, args.snakefile, args.started_in))
    if args.partitions:
        limits = Limits.of_file(config, args.partitions)
        of_machine = [
            *partition_findings(config, plan.works, limits),
            account_finding(args.account),
            *node_findings(config, plan.works, limits, args.account),
        ]
    else:
        of_machine = [*gpu_findings(config, plan.works, len(gpus.visible_here()))]
    findings = [
        *of_machine,
        *model_findings(config),
        *data_findings(config),
        disk_finding(plan.bytes),
        states_finding(config, plan.works),
    ]
    table = Table(show_header=False, box=None)
    for finding in findings:
        sign = "[red]✗[/red]" if finding.fix else "[green]✓[/green]"
        text = f"{finding.found}; {finding.fix}" if finding.fix else finding.found
        table.add_row(sign, finding.check, text)
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    failed = sum(bool(finding.fix) for finding in findings)
    if failed:
        raise UserError(f"preflight: {failed} of {len(findings)} checks failed, listed above")
