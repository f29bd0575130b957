"""Fabricate a finished workflow: its files, empty, and Snakemake's own record of every job."""

import argparse
import os
from pathlib import Path

from snakemake.api import SnakemakeApi
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    ExecutionSettings,
    OutputSettings,
    Quietness,
    ResourceSettings,
)


def main() -> None:
    """Fabricate what ``snakemake`` with the same options would make."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--snakefile", type=Path, required=True, help="as Snakemake's")
    parser.add_argument("--directory", type=Path, required=True, help="as Snakemake's")
    parser.add_argument("--configfile", type=Path, nargs="*", default=[], help="as Snakemake's")
    args = parser.parse_args()
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow_api = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=args.configfile),
            snakefile=args.snakefile,
            workdir=args.directory,
        )
        workflow_api.dag(dag_settings=DAGSettings())
        workflow = workflow_api._workflow
        workflow.execution_settings = ExecutionSettings()
        workflow._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
        workflow._build_dag()
        assert workflow.dag is not None
        assert workflow.persistence is not None
        jobs = list(workflow.dag.jobs)
        for job in jobs:
            for file in job.output:
                if file.is_directory:
                    Path(file).mkdir(parents=True, exist_ok=True)
                else:
                    Path(file).parent.mkdir(parents=True, exist_ok=True)
                    Path(file).touch()
        for job in jobs:
            for file in job.output:
                # One time for all: no input is newer than what was made of it.
                os.utime(file, (0, 10**9))
        for job in jobs:
            workflow.async_run(workflow.persistence.finished(job))


if __name__ == "__main__":
    main()
