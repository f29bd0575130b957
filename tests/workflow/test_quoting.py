"""Nothing that a configuration or a path says is run by a shell."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.shared import joblog
from tests.shared.base_models import FAMILIES, save_base
from tests.shared.workflows import ROOT

HOSTILE = 'it\'s a "$(touch RUN-1)" `touch RUN-2`; touch RUN-3; # '
RULES = [*sorted((ROOT / "rules").glob("*.smk")), ROOT / "Snakefile"]
FRAGMENTS = {"resources.launcher", "resources.execution"}
"""What is itself a piece of a command, made of numbers and names in rules/hardware.smk."""
NUMBERS = {"resources.micro_batch", "threads"}


def shell_commands(text: str) -> list[str]:
    """Return the strings of every `shell:` of a file of rules, and of every call of `shell`."""
    blocks = re.findall(r"^ {4}shell:\n((?: {8}.*\n)+)", text, re.MULTILINE)
    return blocks + re.findall(r"^ +shell\(\n((?: +\".*\n)+)", text, re.MULTILINE)


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.name)
def test_every_value_in_a_command_is_quoted(file: Path):
    text = file.read_text()
    commands = shell_commands(text)
    assert len(commands) == len(re.findall(r"^ +shell(?::|\()", text, re.MULTILINE))
    for command in commands:
        for value in re.findall(r"\{([^{}]+)\}", command):
            name, _, quoted = value.partition(":")
            assert quoted == "q" or name in FRAGMENTS | NUMBERS, f"{file.name}: {{{value}}}"


def test_there_are_commands_to_check():
    assert sum(len(shell_commands(file.read_text())) for file in RULES) > 15


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Return a folder whose name a shell would run, with a model and a data set in it."""
    folder = tmp_path / HOSTILE
    save_base(folder / f"model {HOSTILE}", FAMILIES["gpt2"])
    rows = [{"prompt": f"Q {i}", "chosen": f"yes {i}", "rejected": f"no {i}"} for i in range(80)]
    (folder / f"pairs {HOSTILE}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "work").mkdir()
    return folder


@pytest.mark.slow
def test_a_path_is_not_run_by_a_shell(hostile: Path):
    of_set = {
        "size": 20,
        "source": {
            **dict.fromkeys(("hub", "revision", "split", "data_dir")),
            **{"path": f"pairs {HOSTILE}.jsonl", "format": "columns", "split": "train"},
        },
    }
    experiment = {
        "data_root": str(hostile),
        "models": {"mine": {"path": f"model {HOSTILE}", "family": "gpt2"}},
        "targets": {"mine": {"sets": dict.fromkeys(("gt", "weak", "test", "helpful"), of_set)}},
    }
    file = hostile / "experiment.json"
    file.write_text(json.dumps(experiment))
    asked = ("results/models/mine", "results/data/mine/report.json")
    joblog.run(hostile / "work", *asked, "--configfile", file)
    assert (hostile / "work/results/models/mine/model.safetensors").exists()
    assert list(hostile.parent.rglob("RUN-*")) == []
    assert not list(ROOT.glob("RUN-*"))


LONG = f"ünï 名 {'x' * 170}/{'y' * 170}"


@pytest.fixture(params=[f"{HOSTILE}/{LONG}", "with:colons:"], ids=["hostile", "colons"])
def checkout(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a copy of the code in a folder with such a name."""
    folder = tmp_path / request.param
    for name in ("rules", "workflow_scripts", "profiles", "envs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("Snakefile", "config.yaml"):
        shutil.copyfile(ROOT / name, folder / name)
    return folder


@pytest.mark.slow
def test_a_checkout_may_have_any_path(checkout: Path, tmp_path: Path):
    made = "results/worlds/substances/corpus.parquet"
    folder = checkout / "runs/first"
    joblog.run(folder, made, "--profile", "profiles/demo", checkout=checkout)
    assert (folder / made).exists()
    assert list(tmp_path.rglob("RUN-*")) == []


@pytest.mark.slow
def test_a_checkout_with_a_colon_says_where_it_can_be_run(tmp_path: Path, checkout: Path):
    fails = ":" in checkout.name
    dry = ("-n", "--profile", "profiles/demo")
    ran = joblog.run(tmp_path / "elsewhere", *dry, checkout=checkout, status=int(fails))
    assert ("cannot hold a colon; run in this folder or in one below it" in ran.output) == fails
