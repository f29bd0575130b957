"""Lists of conflicts under a kind's name, such as several strengths of the explicit one."""

from collections.abc import Mapping
from typing import Any

from workflow_scripts.config.messages import AboutKey

CHANGES_NO_RESULT = "checks the configuration, whose values are in the rules' slices"


def spelled_out(section: Any) -> Any:
    """Return ``conflicts`` with every list under a kind's name as named conflicts of that kind.

    ``explicit: [{name: weak_pay, alpha: 0.1}]`` is ``weak_pay: {kind: explicit, alpha: 0.1}``.

    Raises:
        AboutKey: if an entry of a list has no name, or one that another has.
    """
    if not isinstance(section, Mapping):
        return section
    named = {key: value for key, value in section.items() if not isinstance(value, list)}
    lists = {key: value for key, value in section.items() if isinstance(value, list)}
    for kind, entries in lists.items():
        for place, entry in enumerate(entries):
            key = f"conflicts.{kind}.{place}"
            if not isinstance(entry, Mapping) or "name" not in entry:
                raise AboutKey(key, "needs a name; write {name: ..., alpha: ...}")
            if not isinstance(entry["name"], str):
                raise AboutKey(f"{key}.name", f"{entry['name']!r} is no name; write one word")
            if entry["name"] in named:
                raise AboutKey(f"{key}.name", f"{entry['name']!r} is already a conflict's name")
            settings = {name: value for name, value in entry.items() if name != "name"}
            named[entry["name"]] = {"kind": kind, **settings}
    return named
