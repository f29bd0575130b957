"""What the report's page is given besides the table of cells."""

SETTINGS = {
    "matrix": {
        "targets": ["harmlessness"],
        "scenarios": ["simpo", "dpo"],
        "conflicts": ["none", "explicit", "implicit"],
        "seeds": [0, 1, 2],
    },
    "models": {"small": {"id": "<b>not bold</b>"}},
    "probe": {"threshold": 0.75},
    "compat": {},
    **{name: {} for name in ("scenarios", "sft", "training", "targets", "conflicts")},
}
RECORD = {"seconds": 1800, "device": "cpu", "versions": {"torch": "2.15.0"}}
DATA = {"sets": {"gt": {"kept": 1000, "revision": None, "source": {"path": "gt.jsonl"}}}}
