"""A mistake in the configuration is one line: file, key, what is wrong, the nearest spelling."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.shared.configuration import PAPER, changed, loaded
from tests.shared.workflows import ROOT
from workflow_scripts.config import experiment, matrix
from workflow_scripts.config.layers import read_layers
from workflow_scripts.core.errors import UserError
from workflow_scripts.reruns import slices


def test_the_papers_configuration_gives_the_papers_cells():
    config = loaded(PAPER)
    # 7 models make 21 ordered pairs; 3 scenarios; 3 conflicts; 1 seed.
    assert len(matrix.cells(config)) == 21 * 3 * 3
    assert config.matrix.weak_strong[0] == ("gpt2", "gpt2-medium")
    assert config.scenarios["dpo"].epochs == 3


def test_more_adds_the_product_of_its_lists_and_no_cell_twice():
    plain = matrix.cells(loaded(changed("matrix.seeds", [0])))
    more = [
        {"scenarios": ["dpo"], "seeds": [0, 3], "pairs": [["gpt2", "gpt2-xl"]]},
        {"students": [{"name": "sure", "filter": 0.75}], "scenarios": ["simpo"]},
    ]
    config = loaded(changed("matrix.more", more))
    cells = matrix.cells(config)
    assert cells[: len(plain)] == plain
    added = cells[len(plain) :]
    seeds = [cell for cell in added if not cell.variant]
    assert {(c.scenario, c.weak, c.strong, c.seed) for c in seeds} == {
        ("dpo", "gpt2", "gpt2-xl", 3)
    }
    assert len(seeds) == 3  # conflicts
    assert {(c.scenario, c.variant, c.seed) for c in added[3:]} == {("simpo", "/sure", 0)}
    assert len(added[3:]) == 21 * 3
    assert matrix.seeds(cells)[seeds[0]._replace(seed=0)] == [0, 3]
    assert "sure" in [student.name for student in matrix.students(config).values()]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("probes", {}, "config.yaml: probes: unknown key 'probes'; did you mean 'probe'?"),
        (
            "scenarios.simpo.betta",
            1.0,
            "config.yaml: scenarios.simpo.betta: unknown key 'betta'; did you mean 'beta'?",
        ),
        (
            "conflicts.explicit.alhpa",
            1.0,
            "config.yaml: conflicts.explicit.alhpa: unknown key 'alhpa'; did you mean 'alpha'?",
        ),
        (
            "matrix.scenarios.1",
            "simppo",
            "config.yaml: matrix.scenarios.1: 'simppo' is not defined; did you mean 'simpo'?",
        ),
        (
            "matrix.models.3",
            "gpt2-x1",
            "config.yaml: matrix.models.3: 'gpt2-x1' is not defined; did you mean 'gpt2-xl'?",
        ),
        (
            "matrix.conflicts.1",
            "explcit",
            "config.yaml: matrix.conflicts.1: 'explcit' is not defined; did you mean 'explicit'?",
        ),
        (
            "conflicts.explicit.alpha",
            -0.5,
            "config.yaml: conflicts.explicit.alpha: "
            "input should be greater than or equal to 0 (found -0.5)",
        ),
        (
            "probe.threshold",
            1.5,
            "config.yaml: probe.threshold: input should be less than 1 (found 1.5)",
        ),
        (
            "matrix.targets.0",
            "../elsewhere",
            "config.yaml: matrix.targets.0: '../elsewhere' becomes a path, so it may hold only "
            "letters, digits, '.', '_' and '-', and must not begin with '.' or '-'",
        ),
        (
            "models.gpt2.revision",
            "main",
            "config.yaml: models.gpt2.revision: "
            "string should match pattern '^[0-9a-f]{40}$' (found 'main')",
        ),
        (
            "models.gpt2.path",
            "/models/gpt2",
            "config.yaml: models.gpt2: give exactly one of `id`, `path`, `package`, `pretrain`; "
            "found `id` and `path`",
        ),
        (
            "execution.micro_batch",
            5,
            "config.yaml: execution.micro_batch: 5 does not divide training.batch_size 32",
        ),
        (
            "matrix.conflicts",
            ["explicit"],
            "config.yaml: matrix.conflicts: the conflict tax is counted against `none`; "
            "add it to the list",
        ),
        (
            "matrix.conflicts",
            ["none", "placebo"],
            "config.yaml: matrix.conflicts: `placebo` is trained for the probes of the first seed, "
            "and is no cell; take it off the list",
        ),
        (
            "conflicts.implicit.kind",
            "placebo",
            "config.yaml: conflicts.implicit.kind: the conflict `placebo`, and no other, is of "
            "kind placebo",
        ),
        (
            "matrix",
            {**PAPER["matrix"], "models": None, "pairs": [["gpt2", "gpt2-xl"], ["gpt2", "gpt2"]]},
            "config.yaml: matrix.pairs.1: gpt2 cannot supervise itself; name two models",
        ),
        ("matrix.seeds", [0, 0], "config.yaml: matrix: `seeds` names 0 twice"),
        ("matrix.more", [{"seeds": [1, 1]}], "config.yaml: matrix.more.0: `seeds` names 1 twice"),
        (
            "matrix.more",
            [{"seeds": [1]}, {"scenarios": ["simppo"]}],
            "config.yaml: matrix.more.1.scenarios.0: 'simppo' is not defined; did you mean "
            "'simpo'?",
        ),
        (
            "matrix.more",
            [{"conflicts": ["explicit"]}],
            "config.yaml: matrix.more.0.conflicts: the conflict tax is counted against `none`; "
            "add it to the list",
        ),
        (
            "matrix.more",
            [{"students": [{"name": "via", "through": ["mistral-7b"]}]}],
            "config.yaml: matrix.more.0.students.0.through: stands between the models of no cell",
        ),
        (
            "matrix.more",
            [{"students": [{"name": "sure", "filter": share}]} for share in (0.7, 0.8)],
            "config.yaml: matrix.more.1.students.0.name: 'sure' is the name of another student "
            "above",
        ),
        (
            "conflicts.implicit.kind",
            "implict",
            "config.yaml: conflicts.implicit.kind: 'implict' is not valid; "
            "did you mean 'implicit'?",
        ),
        ("conflicts.implicit", {}, "config.yaml: conflicts.implicit.kind: missing; add it"),
        (
            "conflicts.explicit",
            [{"name": "explicit", "alpha": 0.5}, {"alpha": 1}],
            "config.yaml: conflicts.explicit.1: needs a name; write {name: ..., alpha: ...}",
        ),
        (
            "conflicts.explicit",
            [{"name": "none", "alpha": 0.5}],
            "config.yaml: conflicts.explicit.0.name: 'none' is already a conflict's name",
        ),
        (
            "conflicts.explicit",
            [{"name": "explicit", "alpha": -1}],
            "config.yaml: conflicts.explicit.alpha: "
            "input should be greater than or equal to 0 (found -1)",
        ),
        (
            "matrix.students",
            [{"name": "sure", "filter": 0.75}],
            "config.yaml: matrix.students: variants are compared with `direct`; add it",
        ),
        (
            "matrix.students",
            [{"name": "direct"}, {"name": "sure", "filtr": 0.75}],
            "config.yaml: matrix.students.1.filtr: unknown key 'filtr'; did you mean 'filter'?",
        ),
        (
            "matrix.students",
            [{"name": "direct"}, {"name": "same"}],
            "config.yaml: matrix.students.1: 'same' is as `direct`; give it `filter` or `through`",
        ),
        (
            "matrix.students",
            [{"name": "direct", "filter": 0.75}],
            "config.yaml: matrix.students.0: "
            "`direct` takes neither `filter` nor `through`; name it otherwise",
        ),
        (
            "matrix.students",
            [{"name": "direct"}, {"name": "seed1", "filter": 0.75}],
            "config.yaml: matrix.students.1: 'seed1' is a seed's folder; choose another name",
        ),
        (
            "matrix.students",
            [{"name": "direct"}, {"name": "direct"}],
            "config.yaml: matrix.students.1.name: 'direct' is already a student's name",
        ),
        (
            "matrix.students",
            [{"name": "direct"}, {"name": "via", "through": ["gpt2-lage"]}],
            "config.yaml: matrix.students.1.through.0: 'gpt2-lage' is not defined; "
            "did you mean 'gpt2-large'?",
        ),
        (
            "matrix.students",
            [{"name": "direct"}, {"name": "via", "through": ["gpt2-xl", "gpt2-large"]}],
            "config.yaml: matrix.students.1.through: stands between the models of no cell",
        ),
        (
            "matrix.students",
            [
                {"name": "direct"},
                {"name": "via_opt-2.7b", "filter": 0.9},
                {"name": "long", "through": ["opt-2.7b", "opt-6.7b"]},
            ],
            "config.yaml: matrix: 'long' needs a student through opt-2.7b, and the name "
            "'via_opt-2.7b' is taken; declare it under another name",
        ),
        (
            "targets.harmlessness.sets.gt.source.format",
            "mesages",
            "config.yaml: targets.harmlessness.sets.gt.source.format: "
            "'mesages' is not valid; did you mean 'messages'?",
        ),
        (
            "targets.harmlessness.sets.gt.source.columns",
            {"choosen": "better"},
            "config.yaml: targets.harmlessness.sets.gt.source.columns.choosen: "
            "format messages has no field 'choosen'; did you mean 'chosen'?",
        ),
        (
            "targets.honesty.sets.gt.source.columns",
            {"prompt": "question", "chosen": "better"},
            "config.yaml: targets.honesty.sets.gt.source.columns.chosen: format unknown_bench has "
            "no field 'chosen'; known: admission, answer, label, prompt",
        ),
    ],
)
def test_a_mistake_is_one_line_that_says_the_mend(
    key: str, value: Any, message: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError) as error:
        loaded(changed(key, value))
    assert str(error.value) == message


def test_a_list_of_strengths_is_as_many_conflicts():
    listed = [{"name": "explicit", "alpha": 0.5}, {"name": "explicit_0.25", "alpha": 0.25}]
    conflicts = loaded(changed("conflicts.explicit", listed)).conflicts
    spelt_out = PAPER["conflicts"] | {"explicit_0.25": {"kind": "explicit", "alpha": 0.25}}
    assert {name: conflict.model_dump() for name, conflict in conflicts.items()} == spelt_out


def test_the_file_named_is_the_one_that_sets_the_key(tmp_path: Path):
    overlay = tmp_path / "experiment.yaml"
    overlay.write_text("probe: {threshold: 2}\n")
    with pytest.raises(UserError, match=rf"^{overlay}: probe\.threshold: "):
        experiment.load(read_layers([ROOT / "config.yaml", overlay], {}))
    with pytest.raises(UserError, match=r"^--config: probe\.threshold: "):
        experiment.load(read_layers([ROOT / "config.yaml"], {"probe": {"threshold": "2"}}))


@pytest.mark.parametrize("environment", ["training", "analysis"])
def test_conda_environments_hold_the_locked_versions(environment: str):
    lock = (ROOT / "uv.lock").read_text()
    packages = yaml.safe_load((ROOT / f"envs/{environment}.yaml").read_text())["dependencies"]
    pinned = next(item["pip"] for item in packages if isinstance(item, dict))
    for pin in pinned:
        name, version = pin.split("==")
        assert f'name = "{name}"\nversion = "{version}"\n' in lock


def test_the_image_is_built_from_files_that_are_there():
    described = (ROOT / "envs/apptainer.def").read_text()
    copied = described.partition("%files\n")[2].partition("\n\n")[0].split()
    there, inside = copied[::2], copied[1::2]
    assert {"pyproject.toml", "uv.lock"} <= set(there)
    assert all((ROOT / file).is_file() for file in there)
    assert inside == [f"/opt/w2s/{Path(file).name}" for file in there]


def test_adapters_and_learning_rates_of_a_model_are_in_the_settings_of_its_trainings_alone():
    own = {"lora": {"r": 8}, "learning_rates": {"simpo": 1e-4, "sft": 2e-4}}
    plain, mine = loaded(PAPER), loaded(changed("models.gpt2", PAPER["models"]["gpt2"] | own))
    place = ("harmlessness", "simpo")
    cell = matrix.cells(plain)[0]._replace(scenario="simpo", weak="gpt2", strong="gpt2-medium")

    def trainings(config: experiment.Config, model: str) -> list[dict[str, Any]]:
        sft = slices.sft(config, "harmlessness", model, "0")
        return [json.loads(text) for text in (sft, slices.ground_truth(config, *place, model, "0"))]

    for before, after, rate in zip(
        trainings(plain, "gpt2"), trainings(mine, "gpt2"), (2e-4, 1e-4), strict=True
    ):
        lora = {"r": 8, "alpha": 32, "targets": None}
        assert after == before | {"learning_rate": rate, "lora": lora}
    assert trainings(mine, "gpt2-medium") == trainings(plain, "gpt2-medium")
    # The weak model's are not the student's.
    assert slices.weak_to_strong(mine, cell) == slices.weak_to_strong(plain, cell)
    assert "lora" not in slices.weak_to_strong(plain, cell)


def test_models_in_bfloat16_are_other_trainings_and_float32_is_in_no_settings():
    plain, stored = (
        loaded(changed("checkpoint_dtype", dtype)) for dtype in ("float32", "bfloat16")
    )
    cell = matrix.cells(plain)[0]._replace(scenario="dpo", weak="gpt2", strong="gpt2-medium")
    for settings in (
        lambda config: slices.sft(config, "harmlessness", "gpt2", "0"),
        lambda config: slices.student_sft(
            config, "harmlessness", "dpo", "gpt2", "gpt2-medium", "labels", "", "0"
        ),
        lambda config: slices.weak_to_strong(config, cell),
    ):
        before, after = json.loads(settings(plain)), json.loads(settings(stored))
        assert after == before | {"checkpoint_dtype": "bfloat16"}
        assert settings(plain) == settings(loaded(PAPER))
    assert slices.readout(plain, "dpo") == slices.readout(stored, "dpo")
    page = json.loads(slices.page(stored))["training"]
    assert page.pop("checkpoint_dtype") == "bfloat16"
    assert page == json.loads(slices.page(plain))["training"]


def test_a_probe_records_of_which_model_its_strong_one_trains_adapters():
    config = changed("matrix.models", ["gpt2", "gpt2-large", "adapted"])
    config["models"]["adapted"] = config["models"]["gpt2-large"] | {"lora": {"r": 8}, "gpus": 1}
    recorded = {
        cell.strong: json.loads(slices.probe(loaded(config), cell)).get("lora_of")
        for cell in matrix.cells(loaded(config))
    }
    assert recorded == {"gpt2-large": None, "adapted": "gpt2-large"}
