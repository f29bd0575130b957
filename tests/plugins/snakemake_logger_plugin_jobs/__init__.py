"""A logger plugin of Snakemake's: writes every job that it tells of as a line of JSON.

``tests/joblog.py`` reads them. Snakemake finds the plugin by the module's name.
"""

import json
from dataclasses import dataclass, field
from logging import LogRecord
from pathlib import Path

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    file: str = field(default="", metadata={"help": "where the lines go", "required": True})


class LogHandler(LogHandlerBase):
    @property
    def writes_to_stream(self) -> bool:
        return False

    @property
    def writes_to_file(self) -> bool:
        return False

    @property
    def has_filter(self) -> bool:
        return True

    @property
    def has_formatter(self) -> bool:
        return True

    @property
    def needs_rulegraph(self) -> bool:
        return False

    def __post_init__(self) -> None:
        assert isinstance(self.settings, LogHandlerSettings)
        self._file = Path(self.settings.file)
        self._file.touch()
        self._group = ""
        self._groups = 0

    def emit(self, record: LogRecord) -> None:
        told = record.__dict__
        if told.get("event") == LogEvent.GROUP_INFO:
            self._groups += 1
            self._group = f"{told['group_id']}-{self._groups}"
        if told.get("event") != LogEvent.JOB_INFO:
            return
        job = {
            "rule": told["rule_name"],
            "message": told["rule_msg"],
            "inputs": list(told["input"]),
            "outputs": list(told["output"]),
            "log": list(told["log"]),
            "resources": dict(told["resources"].items()),
            "reason": told["reason"],
            "command": told["shellcmd"],
            "group": self._group if told["indent"] else None,
        }
        with self._file.open("a") as file:
            file.write(json.dumps(job, default=str) + "\n")
