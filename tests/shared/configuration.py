"""The paper's configuration, and changes of it."""

import copy
from typing import Any

import yaml

from tests.shared.workflows import ROOT
from workflow_scripts.config import experiment
from workflow_scripts.config.experiment import Config
from workflow_scripts.config.layers import Layer

PAPER = yaml.safe_load((ROOT / "config.yaml").read_text())


def changed(key: str, value: Any) -> dict[str, Any]:
    """Return the paper's configuration with one key changed."""
    config = copy.deepcopy(PAPER)
    *parents, last = key.split(".")
    node = config
    for part in parents:
        node = node[int(part)] if isinstance(node, list) else node[part]
    node[int(last) if isinstance(node, list) else last] = value
    return config


def loaded(config: dict[str, Any]) -> Config:
    """Return a configuration as it is read from config.yaml."""
    return experiment.load([Layer("config.yaml", config)])
