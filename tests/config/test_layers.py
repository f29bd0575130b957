"""How configuration files and ``--config`` are laid over one another."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.shared.configuration import PAPER, changed, loaded
from tests.shared.workflows import ROOT, TINY, snakemake
from workflow_scripts.cluster import work
from workflow_scripts.config import matrix
from workflow_scripts.config.experiment import Config, load
from workflow_scripts.config.layers import Layer, merged, read_layers
from workflow_scripts.core.errors import UserError
from workflow_scripts.reruns import slices


def over(**sections: Any) -> dict[str, Any]:
    """Return the paper's configuration with sections laid over it."""
    return merged([Layer("config.yaml", PAPER), Layer("more.yaml", sections)])


def test_sections_merge_and_lists_are_replaced():
    config = over(probe={"threshold": 0.8}, matrix={"seeds": [7]})
    assert config["probe"] == PAPER["probe"] | {"threshold": 0.8}
    assert config["matrix"] == PAPER["matrix"] | {"seeds": [7]}


@pytest.mark.parametrize("null", [None, "null", "~"])
def test_null_takes_a_key_away(null: str | None):
    assert "gpt2" not in over(models={"gpt2": null})["models"]


def test_of_keys_of_which_one_is_given_the_last_layer_gives_it():
    matrix = over(matrix={"pairs": [["gpt2", "gpt2-xl"]]})["matrix"]
    assert "models" not in matrix
    model = over(models={"mistral-7b": {"path": "copies/mistral"}})["models"]["mistral-7b"]
    assert "id" not in model
    assert "revision" not in model
    assert model["params"] == PAPER["models"]["mistral-7b"]["params"]
    assert loaded(over(models={"mistral-7b": {"path": "copies/mistral"}}))


def test_a_layer_changes_a_part_of_what_the_one_below_gives():
    below = Layer("demo.yaml", {"models": {"small": {"pretrain": {"corpus": "all", "steps": 9}}}})
    above = Layer("tiny.yaml", {"models": {"small": {"pretrain": {"steps": 4}}}})
    assert merged([below, above])["models"]["small"]["pretrain"] == {"corpus": "all", "steps": 4}


def test_a_key_of_the_origin_that_is_given_already_is_merged():
    model = over(models={"mistral-7b": {"revision": "1" * 40}})["models"]["mistral-7b"]
    assert model == PAPER["models"]["mistral-7b"] | {"revision": "1" * 40}
    layers = [
        Layer("demo.yaml", {"models": {"small": {"pretrain": {"corpus": "c", "steps": 600}}}}),
        Layer("tiny.yaml", {"models": {"small": {"pretrain": {"steps": 4}}}}),
    ]
    assert merged(layers)["models"]["small"] == {"pretrain": {"corpus": "c", "steps": 4}}


def test_a_source_and_the_hardware_are_replaced_whole():
    source = {"path": "mine.jsonl", "format": "columns"}
    config = over(
        targets={"harmlessness": {"sets": {"gt": {"source": source}}}},
        hardware={"rtx4090": {"memory_gb": 24, "bf16_tflops": 165, "per_node": 1}},
    )
    assert config["targets"]["harmlessness"]["sets"]["gt"]["source"] == source
    assert list(config["hardware"]) == ["rtx4090"]


def test_what_a_layer_leaves_out_of_what_it_replaces_is_its_fault():
    """The layer below gives it, in the section that is replaced."""
    mine = Layer("mine.yaml", {"hardware": {"a40": {"bf16_tflops": 100}}})
    with pytest.raises(UserError, match=r"^mine\.yaml: hardware\.a40\.memory_gb: missing; add it$"):
        load([Layer("config.yaml", PAPER), mine])


def test_a_layer_may_stand_alone():
    layers = [Layer("config.yaml", PAPER), Layer("mine.yaml", {"inherit": False, "a": 1})]
    assert merged(layers) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("probe: {threshold: .8}\nprobe: {}\n", "line 2: the key 'probe' is given twice; keep one"),
        ("execution:\n  threads: 1\n  threads: 2\n", "line 3: the key 'threads' is given twice"),
        ("- 1\n", "is no mapping of keys to values"),
        ("a: [1\n", "line 2: "),
        ("a: \x00\n", "it is not YAML"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_one_line(text: str, message: str, tmp_path: Path):
    file = tmp_path / "experiment.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        read_layers([file], {})
    assert str(error.value).startswith(str(file))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_numbers_are_read_as_they_are_meant(tmp_path: Path):
    file = tmp_path / "experiment.yaml"
    file.write_text("matrix: {seeds: [010, 1_000]}\n")
    config = load(read_layers([ROOT / "config.yaml", file], {}))
    assert config.matrix.seeds == [10, 1000]
    file.write_text("matrix: {seeds: [1:30]}\n")
    with pytest.raises(UserError, match=rf"^{file}: matrix.seeds.0: .*1:30"):
        load(read_layers([ROOT / "config.yaml", file], {}))


def test_a_variant_of_a_scenario_says_only_what_differs():
    slower = {"kind": "simpo", "learning_rate": 3e-7}
    names = ["simpo", "simpo_slow"]
    scenarios = loaded(
        over(scenarios={"simpo_slow": slower}, matrix={"scenarios": names})
    ).scenarios
    simpo, variant = (scenarios[name].model_dump() for name in names)
    assert variant == simpo | {"learning_rate": 3e-7}
    alone = over(scenarios={"simpo": None, "simpo_slow": slower}, matrix={"scenarios": names[1:]})
    with pytest.raises(UserError, match=r"scenarios\.simpo_slow\.epochs: missing; add it"):
        loaded(alone)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("scenarios.simpo.beta", float("inf"), "scenarios.simpo.beta: input should be a finite"),
        ("scenarios.dpo.learning_rate", float("nan"), "scenarios.dpo.learning_rate: input should"),
        ("scenarios.dpo.epochs", 10**30, "scenarios.dpo.epochs: input should be less than"),
        (
            "conflicts.none",
            {"kind": "explicit", "alpha": 0.5},
            "conflicts.none.kind: 'explicit' is not what `none` means",
        ),
        (
            "conflicts.explicit",
            [{"name": [1], "alpha": 0.5}],
            "conflicts.explicit.0.name: [1] is no name",
        ),
        ("matrix.models", ["gpt2"], "matrix.models: names fewer than two models"),
        (
            "targets.honesty.sets.gt.source.path",
            "",
            "targets.honesty.sets.gt.source.path: '' is no path",
        ),
        ("data_root", "{x}", "data_root: '{x}' is no path"),
        ("data_root", "a\0b", "data_root: 'a\\x00b' is no path"),
        ("hardware.a40.memory_gb", 0.001, "hardware.a40.memory_gb: input should be greater"),
        ("hardware.a40.bf16_tflops", 1e-320, "hardware.a40.bf16_tflops: input should be greater"),
    ],
)
def test_what_would_break_later_is_refused_at_once(key: str, value: Any, message: str):
    with pytest.raises(UserError) as error:
        loaded(changed(key, value))
    assert str(error.value).startswith(f"config.yaml: {message}")


def leaves(node: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where every section and value of a configuration is."""
    if place:
        yield place
    parts = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in parts:
        if isinstance(value, dict | list):
            yield from leaves(value, (*place, key))
        else:
            yield (*place, key)


PLACES = list(leaves(PAPER))
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", "{x}", "\0", "none", "explicit", 10**30, [], {}, [[]], [{}], {"a": 1}]),
    st.lists(st.integers() | st.text(max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=3), max_size=3),
)


def with_value(config: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed_config = copy.deepcopy(config)
    node: Any = changed_config
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return changed_config


def asks_for_all(config: Config) -> None:
    """Work out what a dry run asks of this project: each job's settings, resources and tokens."""
    costs = work.Costs(config)
    for target in config.matrix.targets:
        slices.prepare_data(config, target)
    for model in config.matrix.trained_models:
        (slices.pretrain if config.models[model].pretrain else slices.base_model)(config, model)
    for corpus in config.corpora:
        slices.tokenizer(config, corpus)
    slices.features(config)
    slices.reference(config)
    slices.page(config)
    cells = matrix.cells(config)
    # A few cells of all kinds: the others are asked for likewise.
    for cell in cells[:: max(1, len(cells) // 10)]:
        place = (cell.target, cell.scenario, cell.weak, str(cell.seed))
        slices.ground_truth(config, *place)
        slices.sft(config, cell.target, cell.weak, str(cell.seed))
        slices.weak_to_strong(config, cell)
        slices.weak_labels(config, cell.scenario)
        slices.probe(config, cell)
        for folder in work.trainings_of(config, cell):
            costs.of(f"{folder}/train.json")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(place=st.sampled_from(PLACES), value=VALUES)
def test_no_single_change_of_a_value_ends_in_a_traceback(place: tuple[Any, ...], value: Any):
    message = ""
    try:
        asks_for_all(loaded(with_value(PAPER, place, value)))
    except UserError as error:
        message = str(error)
    assert "\n" not in message


DEMO = merged(read_layers([ROOT / name for name in ("config.yaml", *TINY[1:])], {}))


@pytest.mark.slow
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(place=st.sampled_from(list(leaves(DEMO))), value=VALUES)
def test_no_single_change_ends_a_dry_run_in_a_traceback(
    place: tuple[Any, ...], value: Any, tmp_path: Path
):
    file = tmp_path / "changed.yaml"
    file.write_text(yaml.safe_dump(with_value(DEMO, place, value)))
    ran = snakemake(tmp_path, "--dry-run", "--configfile", str(file))
    assert ran.returncode in (0, 1)
    assert "Traceback" not in ran.stderr, ran.stderr[-2000:]
    if ran.returncode:
        assert len(ran.stderr.splitlines()) < 12, ran.stderr


@pytest.mark.parametrize("profile", ["hh", "smollm2"])
def test_a_profile_reads_its_pairs_from_the_hub_on_request(profile: str):
    files = ("config.yaml", f"profiles/{profile}/experiment.yaml", "profiles/hh/hub.yaml")
    config = load(read_layers([ROOT / file for file in files], {}))
    for name in ("gt", "weak", "test", "helpful"):
        source = getattr(config.targets["hh_single_turn"].sets, name).source
        assert (source.hub, source.path, source.format) == ("Anthropic/hh-rlhf", None, "transcript")
        # Dialogues of several turns are left out, without being faults.
        assert not source.multi_turn
