"""The schemas that editors read say what the configuration's classes say."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from snakemake.utils import update_config

from tests.shared.workflows import ROOT
from workflow_scripts.stages import schema

FILES = {"config.schema.json": False, "overlay.schema.json": True}
CONFIG, OVERLAY = (json.loads((ROOT / name).read_text()) for name in FILES)
PAPER = yaml.safe_load((ROOT / "config.yaml").read_text())
OVERLAYS = sorted(
    file
    for folder in ("profiles", "tests")
    for file in (ROOT / folder).rglob("*.yaml")
    if file.open().readline().startswith("# yaml-language-server")
)


def faults(document: Any, of: dict[str, Any]) -> list[str]:
    return [
        f"{error.json_path}: {error.message}"
        for error in Draft202012Validator(of).iter_errors(document)
    ]


def named_in(file: Path) -> Path:
    """Return the schema that a file's first line names."""
    return file.parent / file.open().readline().strip().rpartition("$schema=")[2]


@pytest.mark.parametrize("name", FILES)
def test_the_schema_in_the_repository_is_the_classes(name: str):
    assert (ROOT / name).read_text() == schema.text(overlay=FILES[name]), "run `make schema`"


def test_the_papers_configuration_fits_its_schema():
    assert named_in(ROOT / "config.yaml").resolve() == ROOT / "config.schema.json"
    assert faults(PAPER, CONFIG) == []


@pytest.mark.parametrize("file", OVERLAYS, ids=lambda file: str(file.relative_to(ROOT)))
def test_an_overlay_fits_its_schema(file: Path):
    assert named_in(file).resolve() == ROOT / "overlay.schema.json"
    assert faults(yaml.safe_load(file.read_text()), OVERLAY) == []


@pytest.mark.parametrize(
    "file", [ROOT / "config.yaml", *OVERLAYS], ids=lambda file: file.parent.name
)
def test_no_number_has_underscores_which_editors_read_as_text(file: Path):
    """Editors read YAML 1.2, Snakemake reads YAML 1.1."""
    assert re.findall(r"[ :\[{]\d+_\d[\d_]*", file.read_text()) == []


@pytest.mark.parametrize("profile", ["demo", "hh", "smollm2"])
def test_a_profile_laid_over_the_papers_configuration_fits_its_schema(profile: str):
    merged = copy.deepcopy(PAPER)
    update_config(
        merged, yaml.safe_load((ROOT / f"profiles/{profile}/experiment.yaml").read_text())
    )
    assert faults(merged, CONFIG) == []


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ({"probes": {}}, "$: Additional properties are not allowed ('probes' was unexpected)"),
        ({"probe": {"threshold": 1.5, "sweep": []}}, "$.probe.threshold: 1.5 is greater"),
        ({"sft": {"epochs": 1, "schedule": "cosine"}}, "$.sft: 'learning_rate' is a required"),
        ({"models": {"../up": {}}}, "$.models: '../up' does not match"),
        ({"conflicts": {"explicit": {"kind": "explicit"}}}, "$.conflicts.explicit: "),
        ({"conflicts": {"explicit": [{"alpha": 1.0}]}}, "$.conflicts.explicit: "),
        (
            {"scenarios": {"simpo": PAPER["scenarios"]["simpo"] | {"betta": 1.0}}},
            "$.scenarios.simpo: Additional properties are not allowed ('betta' was unexpected)",
        ),
        ({"scenarios": {"slower": PAPER["scenarios"]["simpo"]}}, "$.scenarios.slower: "),
        (
            {"matrix": PAPER["matrix"] | {"students": [{"name": "paid", "weight": 0.5}]}},
            "$.matrix.students[0]: ",
        ),
    ],
)
def test_a_mistake_is_marked(section: dict[str, Any], fault: str):
    found = faults(PAPER | section, CONFIG)
    assert len(found) == 1
    assert found[0].startswith(fault)


@pytest.mark.parametrize(
    "section",
    [
        {
            "conflicts": {
                "none": {"kind": "none"},
                "explicit": [{"name": "a", "alpha": 0.5}, {"name": "b", "alpha": 0.25}],
            }
        },
        {"scenarios": PAPER["scenarios"] | {"slower": {"kind": "simpo", "learning_rate": 3e-7}}},
        {
            "matrix": PAPER["matrix"]
            | {
                "students": [
                    {"name": "direct"},
                    {"name": "sure", "kind": "supervised", "filter": 0.9},
                    {"name": "paid", "kind": "auxiliary_confidence"},
                ]
            }
        },
    ],
    ids=lambda section: next(iter(section)),
)
def test_what_may_be_written_in_several_ways_fits(section: dict[str, Any]):
    assert faults(PAPER | section, CONFIG) == []
