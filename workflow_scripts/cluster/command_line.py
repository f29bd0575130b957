"""What Snakemake was started with, which a workflow is not told before its jobs run."""

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import NamedTuple


class Started(NamedTuple):
    """What of the command line matters before there are jobs.

    Attributes:
        targets: what was asked for.
        partitions: the file of a cluster's partitions, None where there is none.
    """

    targets: frozenset[str] = frozenset()
    partitions: str | None = None


def started(folder: str) -> Started:
    """Return what this process's Snakemake was started with, profiles included.

    Args:
        folder: where it was started.
    """
    from snakemake.cli import parse_args

    # What goes through Snakemake's API has a command line of something else.
    if Path(sys.argv[0]).name not in ("snakemake", "__main__.py"):
        return Started()
    silent = io.StringIO()  # it has said before which profiles it uses
    try:
        with (
            contextlib.chdir(folder),
            contextlib.redirect_stderr(silent),
            contextlib.redirect_stdout(silent),
        ):
            _, options = parse_args(sys.argv[1:])
    except (Exception, SystemExit):  # of another program's command line
        return Started()
    file = getattr(options, "slurm_partition_config", None)
    named = isinstance(file, str | Path) and str(file)
    return Started(
        targets=frozenset(map(str, options.targets or ())),
        partitions=os.path.join(folder, named) if named else None,
    )
