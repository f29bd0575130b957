"""Stage ``plan``: what would run now, on which GPUs, for how long, and what it leaves on disk."""

import argparse
import sys

from rich.console import Console

from workflow_scripts.cluster.limits import Limits
from workflow_scripts.cluster.local_checks import gpu_findings
from workflow_scripts.cluster.plan import notes, outputs, planned, table
from workflow_scripts.config.experiment import load
from workflow_scripts.config.layers import read_layers
from workflow_scripts.runtime import gpus


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments."""
    add_workflow_arguments(parser)


def add_workflow_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what it takes to ask Snakemake for the state of the workflow."""
    parser.add_argument("--config", required=True, help="all of it, a JSON file")
    parser.add_argument("--snakefile", required=True, help="the workflow's Snakefile")
    parser.add_argument("--started-in", required=True, help="where its profiles are looked for")
    parser.add_argument("--partitions", nargs="?", help="YAML file of the cluster's partitions")


def run(args: argparse.Namespace) -> None:
    """Print the plan.

    Raises:
        UserError: if the configuration or the partitions' file cannot be read, Snakemake fails,
            or a model's trainings fit no partition.
    """
    config = load(read_layers([args.config], {}))
    limits = Limits.of_file(config, args.partitions) if args.partitions else None
    plan = planned(config, outputs(args.config, args.snakefile, args.started_in), limits)
    console = Console(width=None if sys.stdout.isatty() else 100)
    if plan.works:
        console.print(table(config, plan, limits))
    for line in notes(config, plan):
        console.print(line)
    if plan.works and not args.partitions:
        for finding in gpu_findings(config, plan.works, len(gpus.visible_here())):
            fix = f"; {finding.fix}" if finding.fix else ""
            console.print(f"{finding.check}: {finding.found}{fix}.")
