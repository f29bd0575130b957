"""Take a finished run over that an older version of the code made.

Snakemake reruns a job whose code digest or command has changed. Where nothing else has, somebody
who knows that the change alters no result can take the results over. This finds the jobs that would
run, and whether they would for any other reason.
"""

import json
import logging
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from workflow_scripts.core.errors import UserError, first_line, last_line
from workflow_scripts.reruns.records import Record, write

CHANGES_NO_RESULT = "takes results as they are"

OF_FILES = ("mtime", "input")
"""What makes a job rerun, whatever its code, command and settings are."""
EVERYTHING = (*OF_FILES, "params", "code")
ANALYSIS = frozenset({"probe", "cells", "tables", "figure", "page"})
"""Rules that take seconds: where the code of one has changed, they run again."""
Records = Mapping[Path, Record]


class Job(NamedTuple):
    """A job that Snakemake would run.

    Attributes:
        rule: its rule.
        outputs: what it makes.
        reason: why it would run, in Snakemake's words.
        command: its shell command in words; empty for a rule without one.
    """

    rule: str
    outputs: list[Path]
    reason: str
    command: list[str]

    def option(self, name: str) -> str | None:
        """Return the value that the command gives an option, None where it gives none."""
        words = self.command
        return words[words.index(name) + 1] if name in words else None


class Refusal(NamedTuple):
    """A job that would run for a reason for which results are not taken over."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Workflow:
    """A workflow as it was started.

    Attributes:
        config: file of the whole configuration.
        snakefile: its Snakefile.
        started_in: the folder in which its profiles are looked for.
    """

    config: str
    snakefile: str
    started_in: str

    def planned(self, triggers: Iterable[str]) -> list[Job]:
        """Return the jobs that would run if only ``triggers`` counted, by a dry run of Snakemake.

        Raises:
            UserError: if Snakemake fails.
        """
        from snakemake.api import SnakemakeApi
        from snakemake.logging import logger
        from snakemake.settings import enums, types

        jobs = _JobsLogged()
        counted = frozenset(enums.RerunTrigger[trigger.upper()] for trigger in triggers)
        try:
            with SnakemakeApi(types.OutputSettings(quiet={enums.Quietness.ALL})) as api:
                workflow = api.workflow(
                    resource_settings=types.ResourceSettings(cores=1),
                    config_settings=types.ConfigSettings(
                        configfiles=[Path(self.config).absolute()]
                    ),
                    snakefile=Path(self.snakefile),
                    workdir=Path.cwd(),
                )
                dag = workflow.dag(types.DAGSettings(targets={"all"}, rerun_triggers=counted))
                logger.addHandler(jobs)
                dag.execute_workflow(
                    executor="dryrun",
                    # The run of which this is a job has the lock.
                    execution_settings=types.ExecutionSettings(lock=False),
                )
        except Exception as error:  # Snakemake's many, none of which is ours to tell apart
            raise UserError(f"snakemake --dry-run failed: {first_line(error)}") from error
        return jobs.found

    def touch(self, but_for: Iterable[str] = ()) -> None:
        """Have Snakemake take every result that is there as made by today's rules.

        Args:
            but_for: rules and files of which, and of what reads them, this is not so.

        Raises:
            UserError: if it fails.
        """
        command = [
            *(sys.executable, "-m", "snakemake", "--touch", "--nolock"),
            # Files between results that were deleted are no longer needed, and stay so.
            *("--notemp", "--no-hooks", "--quiet", "all"),
            *("--rerun-triggers", *EVERYTHING),
            *(("--omit-from", *but_for) if but_for else ()),
            *("--snakefile", self.snakefile, "--directory", str(Path.cwd())),
            *("--configfile", str(Path(self.config).absolute()), "--", "all"),
        ]
        ran = subprocess.run(
            command, cwd=self.started_in, capture_output=True, text=True, check=False
        )
        if ran.returncode:
            raise UserError(f"snakemake --touch failed: {last_line(ran.stderr)}")


class _JobsLogged(logging.Handler):
    """Collects the jobs that Snakemake logs."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Job] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a job's record, if it makes anything."""
        from snakemake_interface_logger_plugins.common import LogEvent

        job: Any = record
        if getattr(record, "event", None) == LogEvent.JOB_INFO and job.output:
            outputs = [Path(str(path)) for path in job.output]
            command = shlex.split(job.shellcmd or "")
            self.found.append(Job(job.rule_name, outputs, str(job.reason), command))


def changed_analysis(pending: Iterable[Job], records: Records) -> set[str]:
    """Return the rules of the analysis whose code is not that of their recorded outputs.

    Unlike a training, an analysis says something else from version to version: a table more, a
    column.
    """
    return {
        job.rule
        for job in pending
        if job.rule in ANALYSIS
        and any(
            records[path]["code"] != job.option("--code") for path in job.outputs if path in records
        )
    }


def additions(pending: Iterable[Job], records: Records) -> list[Job]:
    """Return the jobs whose results an older version did not make at all."""
    return [
        job
        for job in pending
        # Students and what is read off them; ceilings and data no version adds.
        if job.rule.startswith("weak_to_strong")
        and not any(path.exists() or path in records for path in job.outputs)
    ]


def refusals(moved: Iterable[Job], pending: Iterable[Job], records: Records) -> Iterator[Refusal]:
    """Yield what stands against taking results over.

    Args:
        moved: jobs that would run if only files counted: there are to be none.
        pending: jobs that would run, which are to have the settings that were recorded.
        records: the record of every artefact, by its path.
    """
    moved = list(moved)
    for job in moved:
        yield Refusal(job.outputs[0], job.reason)
    if moved:
        return
    for job in pending:
        recorded = [records[path] for path in job.outputs if path in records]
        if not recorded and job.option("--code"):
            yield Refusal(job.outputs[0], "no record says how it was made")
        settings = json.loads(job.option("--settings") or "null")
        for record in recorded:
            if record["settings"] != settings:
                changes = ", ".join(_changes(record["settings"], settings))
                yield Refusal(Path(record["artefact"]), f"its settings changed: {changes}")
                break


def _changes(before: Any, now: Any, key: str = "") -> Iterator[str]:
    """Yield where settings differ: ``beta: 0.1, now 0.2``."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in sorted({*before, *now}):
            if before.get(name) != now.get(name):
                yield from _changes(before.get(name), now.get(name), f"{key}{name}.")
    else:
        yield f"{key.removesuffix('.') or 'settings'}: {before}, now {now}"


def update_records(pending: Iterable[Job], records: Records) -> int:
    """Have the records of jobs' outputs name today's code, and return how many there are.

    A record keeps the code that made the artefact as ``code_when_made``.
    """
    updated = 0
    for job in pending:
        code = job.option("--code")
        for path in job.outputs:
            if code and path in records and records[path]["code"] != code:
                made_by = records[path].get("code_when_made", records[path]["code"])
                write({**records[path], "code": code, "code_when_made": made_by})
                updated += 1
    return updated
