"""Conflict ``none``: the supervisor's labels alone."""

from typing import Literal

from workflow_scripts.methods.conflicts.conflict import Conflict


class NoConflict(Conflict):
    """The labels alone."""

    kind: Literal["none"] = "none"
