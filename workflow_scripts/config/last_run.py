"""Which experiment a folder's last run was of, for commands that are typed without naming one."""

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from workflow_scripts.config import paths

CHANGES_NO_RESULT = "only plans and checks by it, what is made follows from the configuration"


class Experiment(NamedTuple):
    """What lies over config.yaml.

    Attributes:
        files: configuration files, later ones winning; absolute.
        overrides: what ``--config`` says.
    """

    files: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = {}

    @classmethod
    def of(cls, files: Sequence[str | Path], overrides: Mapping[str, Any]) -> "Experiment":
        """Return what a command line, profiles included, lays over config.yaml."""
        return cls(tuple(os.path.abspath(file) for file in files), overrides)

    def named(self, checkout: str) -> str:
        """Name it as a line of output does; files of the checkout by their path in there."""
        files = [f"{checkout}/config.yaml", *self.files]
        said = [f"--config {key}={json.dumps(value)}" for key, value in self.overrides.items()]
        return ", ".join(
            [file.removeprefix(f"{checkout}/") for file in dict.fromkeys(files)] + said
        )

    def options(self) -> list[str]:
        """Return the options of Snakemake that ask for it."""
        files = ["--configfile", *self.files] if self.files else []
        said = [f"{key}={json.dumps(value)}" for key, value in self.overrides.items()]
        return [*files, *(["--config", *said] if said else [])]


def keep(experiment: Experiment) -> None:
    """Note that a run of ``experiment`` begins here; nothing depends on whether that works."""
    with contextlib.suppress(OSError, TypeError, ValueError):
        file = Path(paths.LAST_RUN)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(experiment._asdict()), encoding="utf-8")


def kept() -> Experiment:
    """Return the experiment of the last run here: config.yaml alone where none can be had."""
    with contextlib.suppress(OSError, TypeError, ValueError):
        found = Experiment(**json.loads(Path(paths.LAST_RUN).read_text(encoding="utf-8")))
        if all(os.path.isfile(file) for file in found.files) and isinstance(found.overrides, dict):
            return found._replace(files=tuple(found.files))
    return Experiment()
