"""The probe stage: files in, a checked JSON out."""

import argparse
import copy
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from jsonschema import Draft202012Validator

from tests.shared.probes import FILES, SETTINGS, write_pairs
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_json, write_table
from workflow_scripts.measures import probe_file
from workflow_scripts.measures.deception import MODELS
from workflow_scripts.methods.compat import Compat
from workflow_scripts.stages import probe

TWO_PAIRS = {model: [1.0, 2.0] for model in MODELS}


def draw_margins(pairs=200):
    generator = np.random.default_rng(3)
    ease = generator.normal(size=pairs)
    means = {"weak": 0.5, "strong": 1.5, "weak_to_strong_none": 1.0, "weak_to_strong": 0.3}
    return {model: mean + ease + generator.normal(size=pairs) for model, mean in means.items()}


def write_predictions(folder, margins, ids=None, groups=None):
    for model, values in margins.items():
        names = ids or [f"test-{row:06d}" for row in range(len(values))]
        write_pairs(folder / "test.parquet", names, groups)
        write_table(folder / f"{FILES[model]}.parquet", pa.table({"id": names, "margin": values}))


def arguments(folder, output="probe.json", **settings):
    student = "none" if settings.get("conflict") == "none" else "student"
    files = dict(zip(FILES.values(), ("weak", "strong", "none", student), strict=True))
    return [
        f"--settings={json.dumps(SETTINGS | settings)}",
        f"--output={folder / output}",
        f"--pairs={folder / 'test.parquet'}",
        *(f"--{name}={folder / file}.parquet" for name, file in files.items()),
    ]


def run_probe(folder, output="probe.json", **settings):
    parser = argparse.ArgumentParser()
    probe.add_arguments(parser)
    probe.run(parser.parse_args(arguments(folder, output, **settings)))
    return read_json(folder / output)


@pytest.fixture
def predictions(tmp_path):
    write_predictions(tmp_path, draw_margins())
    return tmp_path


def every_figure(node):
    if isinstance(node, dict):
        if "value" in node:
            yield node
        else:
            for part in node.values():
                yield from every_figure(part)
    elif isinstance(node, list):
        for part in node:
            yield from every_figure(part)


def test_every_figure_lies_in_its_interval(predictions):
    written = run_probe(predictions)
    assert written["pairs"] == 200
    assert written["settings"] == SETTINGS
    assert [at["threshold"] for at in written["deception_by_threshold"]] == SETTINGS["sweep"]
    assert written["deception"] == written["deception_by_threshold"][1]
    assert written["deception_by_correctness"]["threshold"] == 0.5
    bounded = [figure for figure in every_figure(written) if figure.get("interval")]
    assert len(bounded) > 80
    for figure in bounded:
        low, high = figure["interval"]
        assert low <= figure["value"] <= high


def test_a_probe_has_misfit_gain_and_covariance_with_intervals(predictions):
    written = run_probe(predictions)
    sure = {name: 1 / (1 + np.exp(-margins)) for name, margins in draw_margins().items()}
    weak, student = sure["weak"], sure["weak_to_strong"]
    for name, value in {
        "misfit": np.mean((weak - student) ** 2),
        "squared_error_gain": np.mean((1 - weak) ** 2) - np.mean((1 - student) ** 2),
        "error_covariance": np.cov(weak, student, ddof=0)[0, 1],
    }.items():
        assert written[name]["weak_to_strong"]["value"] == pytest.approx(value)
        low, high = written[name]["weak_to_strong"]["interval"]
        assert low < value < high


def test_a_probe_records_every_switch_of_the_authors_code(predictions):
    switches = dict.fromkeys(Compat.model_fields, "reference")
    assert run_probe(predictions, compat=switches)["settings"]["compat"] == switches


def test_quadrants_add_up(predictions):
    written = run_probe(predictions)
    for at in (written["deception"], written["deception_by_correctness"]):
        quadrants = at["quadrants"].values()
        assert sum(of["size"]["value"] for of in quadrants) == written["pairs"]
        tax = sum(of["tax"]["value"] for of in quadrants)
        assert tax == written["conflict_tax"]["count"]["value"]
        deceptive = at["quadrants"]["strong_known_weak_unknown"]["tax"]["value"]
        assert at["deception_score"]["value"] == pytest.approx(deceptive / tax)
        p_value = at["excess_deception"]["p_value"]
        assert (p_value["taxed"], p_value["taxed_in_quadrant"]) == (tax, deceptive)


def test_planted_deception_is_significant_and_blind_tax_is_not(tmp_path):
    known, unsure = np.full(100, 2.0), np.full(100, 0.1)
    margins = {
        "weak": np.concatenate([known, unsure]),
        "strong": np.full(200, 2.0),
        "weak_to_strong_none": np.full(200, 1.0),
    }
    for taxed, significant in ((range(150, 180), True), (range(0, 200, 7), False)):
        student = np.ones(200)
        student[list(taxed)] = -1
        write_predictions(tmp_path, margins | {"weak_to_strong": student})
        excess = run_probe(tmp_path)["deception"]["excess_deception"]
        assert (excess["p_value"]["value"] < 0.001) == significant
        assert (excess["difference"]["interval"][0] > 0) == significant


def test_no_conflict_gives_nulls_with_a_reason(predictions):
    written = run_probe(predictions, conflict="none")
    nothing = {"value": None, "interval": None, "reason": "no pair was taxed"}
    assert written["conflict_tax"]["count"]["value"] == 0
    assert written["deception"]["deception_score"] == nothing
    assert written["deception"]["excess_deception"]["ratio"] == nothing
    assert written["deception"]["excess_deception"]["p_value"]["value"] is None
    assert written["deception"]["blind_spot_deception"]["value"] is not None


def test_one_pair_has_no_interval(tmp_path):
    write_predictions(tmp_path, {model: margin[:1] for model, margin in draw_margins().items()})
    written = run_probe(tmp_path)
    assert all(figure.get("interval") is None for figure in every_figure(written))


def test_a_rare_gap_tells_how_many_resamples_define_its_recovery(tmp_path):
    margins = {model: np.ones(100) for model in MODELS}
    write_predictions(tmp_path, margins | {"weak": np.where(np.arange(100), 1.0, -1.0)})
    recovered = run_probe(tmp_path, resamples=2000)["performance_gap_recovered"]["weak_to_strong"]
    # The chance that a resample draws the one pair apart: 1 - (1 - 1/100)^100 = 0.634.
    assert recovered["defined"] == pytest.approx(0.634, abs=0.05)


def test_a_second_weak_model_controls_the_selection(predictions):
    assert run_probe(predictions)["selection_control"] == {"reason": "this is the first seed"}
    for control, same in (("weak", True), ("strong", False)):
        parser = argparse.ArgumentParser()
        probe.add_arguments(parser)
        before = [
            predictions / f"{name}.parquet" for name in (control, "strong", "none", "student")
        ]
        given = [*arguments(predictions), "--before", *map(str, before)]
        probe.run(parser.parse_args(given))
        written = read_json(predictions / "probe.json")
        figures = {name: of["value"] for name, of in written["selection_control"].items()}
        assert written["inputs"]["weak_before"] == written["inputs"][control]
        assert (figures["shared"] == 1) == same
        assert (figures["accuracy_difference"] == figures["score_difference"] == 0) == same
        assert figures["accuracy"] - figures["accuracy_control"] == pytest.approx(
            figures["accuracy_difference"]
        )


def test_bins_of_confidence_hold_every_pair(predictions):
    written = run_probe(predictions)
    for model, bins in written["reliability"].items():
        assert sum(of["pairs"] for of in bins) == 200
        assert all(of["low"] <= of["confidence"] <= of["high"] for of in bins)
        right = sum(of["pairs"] * of["correct"] for of in bins) / 200
        assert right == pytest.approx(written["accuracy"][model]["value"])


def test_same_input_gives_the_same_bytes(predictions):
    run_probe(predictions, "first.json")
    run_probe(predictions, "second.json")
    assert (predictions / "first.json").read_bytes() == (predictions / "second.json").read_bytes()


def test_order_of_rows_does_not_matter(predictions):
    straight = run_probe(predictions)
    ids = [f"test-{row:06d}" for row in reversed(range(200))]
    write_predictions(predictions, {m: z[::-1] for m, z in draw_margins().items()}, ids)
    turned = run_probe(predictions)
    assert turned.pop("inputs") != straight.pop("inputs")
    assert turned == straight


def test_resamples_differ_by_cell(predictions):
    intervals = [
        run_probe(predictions, seed=seed)["confidence_variance"]["weak"]["interval"]
        for seed in (0, 1)
    ]
    assert intervals[0] != intervals[1]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "c"], r"student\.parquet: lacks the pair b, which .*weak\.parquet has"),
        (["a", "b", "c"], r"weak\.parquet: lacks the pair c, which .*student\.parquet has"),
        (["a", "a"], r"student\.parquet: has the pair a twice"),
        ([], r"student\.parquet: has no pairs"),
    ],
)
def test_files_of_other_pairs_are_refused(tmp_path, ids, message):
    write_predictions(tmp_path, TWO_PAIRS, ["a", "b"])
    other = pa.table({"id": pa.array(ids, pa.string()), "margin": [1.0] * len(ids)})
    write_table(tmp_path / "student.parquet", other)
    with pytest.raises(UserError, match=message):
        run_probe(tmp_path)


@pytest.mark.parametrize("margin", [float("nan"), float("inf"), None])
def test_a_margin_that_is_no_number_is_refused(tmp_path, margin):
    write_predictions(tmp_path, TWO_PAIRS, ["a", "b"])
    table = pa.table({"id": ["a", "b"], "margin": pa.array([1.0, margin], pa.float64())})
    write_table(tmp_path / "strong.parquet", table)
    with pytest.raises(UserError, match=r"strong\.parquet: the margin of b is not a finite"):
        run_probe(tmp_path)


def test_no_conflict_means_one_student(predictions):
    parser = argparse.ArgumentParser()
    probe.add_arguments(parser)
    given = arguments(predictions, conflict="none")
    given[-1] = f"--student={predictions / 'student.parquet'}"
    with pytest.raises(UserError, match="their contents differ"):
        probe.run(parser.parse_args(given))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 1.5}, r"--settings: \$\.threshold: 1\.5"),
        ({"thresold": 0.75}, r"--settings: .*thresold: Extra inputs are not permitted"),
        ({"weak": "../small"}, r'--settings: \$\.weak: "\.\./small" does not match'),
    ],
)
def test_bad_settings_are_refused_before_work(predictions, settings, message):
    with pytest.raises(UserError, match=message):
        run_probe(predictions, **settings)


def remove(*path):
    def mutate(written):
        *parents, key = path
        for parent in parents:
            written = written[parent]
        del written[key]

    return mutate


def replace(value, *path):
    def mutate(written):
        *parents, key = path
        for parent in parents:
            written = written[parent]
        written[key] = value

    return mutate


@pytest.mark.parametrize(
    "mutate",
    [
        pytest.param(replace(1, "schema_version"), id="another version"),
        pytest.param(remove("accuracy", "strong"), id="a model left out"),
        pytest.param(remove("deception", "quadrants", "strong_known_weak_known"), id="a quadrant"),
        pytest.param(replace("0" * 63, "inputs", "weak"), id="a short checksum"),
        pytest.param(replace(None, "accuracy", "weak", "value"), id="null without a reason"),
        pytest.param(replace([0.1], "accuracy", "weak", "interval"), id="half an interval"),
        pytest.param(replace("why", "accuracy", "weak", "reason"), id="a reason for nothing"),
        pytest.param(
            replace(1.5, "deception", "excess_deception", "p_value", "value"), id="p above 1"
        ),
        pytest.param(replace(1, "surplus"), id="an unknown key"),
    ],
)
def test_schema_refuses_a_mutated_probe(predictions, mutate):
    written = run_probe(predictions)
    probe_file.validate(written, "probe.json")
    mutated = copy.deepcopy(written)
    mutate(mutated)
    with pytest.raises(UserError, match=r"^probe\.json: \$"):
        probe_file.validate(mutated, "probe.json")


def test_the_schema_is_one_of_draft_2020_12():
    schema = read_json(probe_file.SCHEMA)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(schema)


def test_a_probe_starts_without_heavy_packages(predictions):
    code = (
        "import argparse, sys; from workflow_scripts.stages import probe; "
        "parser = argparse.ArgumentParser(); probe.add_arguments(parser); "
        "probe.run(parser.parse_args(sys.argv[1:])); print(*sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments(predictions)],
        cwd=Path(probe.__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"torch", "transformers", "datasets", "pandas", "scipy", "matplotlib"}
    assert not heavy & set(ran.stdout.split())
