"""The commands that the rules run, called in this process."""

import argparse
import importlib


def run_stage(name: str, *arguments: object) -> None:
    """Run a stage by the name of its command; its errors are raised here.

    Args:
        name: the command, as in ``python -m workflow_scripts NAME``.
        arguments: what follows it on the command line, as text or what becomes it.
    """
    module = importlib.import_module(f"workflow_scripts.stages.{name}")
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    parser.add_argument("--code")  # which the command adds to every stage's own arguments
    module.run(parser.parse_args([str(argument) for argument in arguments]))
