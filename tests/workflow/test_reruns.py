"""What a change reruns: the table of docs/reruns.md, by real Snakemake on a finished DAG.

A job is written as its rule and its first output below ``results/``.
"""

import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.shared import joblog
from tests.shared.warm_process import Warm
from tests.shared.workflows import ROOT, TINY
from workflow_scripts.config import paths
from workflow_scripts.core.errors import UserError

pytestmark = pytest.mark.slow

REPORT = r"(cells|tables|figure|page) "
NOTHING = r"(?!)"
CONFIGURATION = {
    "nothing": ((), NOTHING),
    "micro-batch": (("execution={micro_batch: 16}",), NOTHING),
    "threads, attention": (("execution={threads: 2, attention: flex}",), NOTHING),
    "TensorBoard, W&B, evaluation": (
        ("execution={tensorboard: true, report_to: [wandb], evaluation: {every: 2}}",),
        NOTHING,
    ),
    "warm start": (("execution={warm_start: true}",), NOTHING),
    "kept checkpoints": (("keep_checkpoints=none",), NOTHING),
    "scenarios.simpo.beta": (("scenarios={simpo: {beta: 2.5}}",), r"\S+ \S*/simpo/"),
    "conflicts.explicit.alpha": (("conflicts={explicit: {alpha: 0.25}}",), r"\S+ \S*/explicit/"),
    "probe.threshold": (("probe={threshold: 0.8}",), r"probe "),
    "one model": (("models={middle: {pretrain: {steps: 5}}}",), r"\S+ \S*\bmiddle\b"),
    "LoRA of one model": (("models={middle: {lora: {r: 4}}}",), r"(?!pretrain )\S+ \S*\bmiddle\b"),
    "a compatibility switch": (
        ("compat={explicit_trigger: reference}",),
        r"\S+ \S*/dpo/.*/explicit/",
    ),
}
"""By change: what --config adds, and which jobs it reruns besides the report."""
ADDITIONS = {
    "a model": "matrix={models: [small, middle, strong]}",
    "a seed": "matrix={seeds: [0, 1]}",
    "a conflict": "matrix={conflicts: [none, explicit, implicit, implicit_matched]}",
}
ELSEWHERE = {
    "partition and time limit": ("--default-resources", "slurm_partition=other", "runtime=5"),
    "resources": ("--set-resources", "ground_truth:mem_mb=9999", "probe:runtime=9"),
    "threads of a rule": ("--set-threads", "ground_truth=2"),
    "a profile": ("--workflow-profile", "none", "--jobs", "1"),
    "the speed of a GPU": (
        "--config",
        "hardware={a40: {memory_gb: 48, bf16_tflops: 9, fp32_tflops: 3, per_node: 1}}",
    ),
}


def edited(module: str, old: str, new: str) -> Callable[[Path], None]:
    """Return a change to a checkout: other text in one file."""

    def change(checkout: Path) -> None:
        file = checkout / "workflow_scripts" / module
        text = file.read_text()
        assert text.count(old) == 1, f"{module} says {old!r} {text.count(old)} times"
        file.write_text(text.replace(old, new))

    return change


def otherwise_written(checkout: Path) -> None:
    """Change every comment, docstring, blank line and line break of the project."""
    for file in (checkout / "workflow_scripts").rglob("*.py"):
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
                node
            ):
                node.body[0] = ast.Expr(ast.Constant("Said in other words."))
        file.write_text(f"# A comment\n\n{ast.unparse(ast.fix_missing_locations(tree))}\n")


CODE = {
    "comments, docstrings, formatting": (otherwise_written, NOTHING),
    "an unrelated function": (
        edited(
            "methods/losses.py", "def sft(", "def unused() -> None:\n    return None\n\n\ndef sft("
        ),
        NOTHING,
    ),
    "a message": (edited("data/pairs.py", "holds no pairs", "is empty"), NOTHING),
    "progress": (edited("core/progress.py", "SILENCE = 60.0", "SILENCE = 30.0"), NOTHING),
    "the DPO loss": (
        edited(
            "methods/losses.py",
            "_side(label, margin) * margin)\n",
            "margin * _side(label, margin))\n",
        ),
        r"\S+ \S*/dpo/",
    ),
    "the explicit conflict": (
        edited("methods/losses.py", "margin.detach() < 0", "margin.detach() <= 0"),
        r"\S+ \S*/explicit/",
    ),
    "a probe's figure": (edited("measures/deception.py", "no pair was taxed", "no tax"), r"probe "),
}
"""By change: how a copy of the checkout is changed, and which jobs it reruns besides the report."""
REPORTED = {
    "a plot": (
        edited("report/figures/accuracies.py", "TALL = 12", "TALL = 13"),
        r"(figure|page) ",
    ),
    "the page": (edited("report/templates/page.html.j2", "</body>", "<hr></body>"), r"page "),
}
"""Changes of the report alone: the page shows the figures, so it's made again with them."""


def jobs(folder: Path, *arguments: str, checkout: Path = ROOT) -> set[str]:
    """Return the jobs that Snakemake would run in ``folder``."""
    return joblog.run(folder, *TINY, "--dry-run", *arguments, checkout=checkout).names


def matching(pattern: str, among: set[str]) -> set[str]:
    """Return the jobs that begin as ``pattern`` says."""
    return {job for job in among if re.match(pattern, job)}


@pytest.fixture(scope="module")
def every_job(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Return the jobs of the tiny DAG."""
    return jobs(tmp_path_factory.mktemp("empty"))


@pytest.fixture(scope="module")
def fabricated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a folder with the files of a finished DAG, empty, and its configuration.

    A model is from the hub, another from a local folder.
    """
    folder = tmp_path_factory.mktemp("fabricated")
    local = folder / "local"
    local.mkdir()
    (local / "model.safetensors").touch()
    os.utime(local / "model.safetensors", (0, 0))
    os.utime(local, (0, 0))
    experiment = folder / "experiment.json"
    matrix = {"targets": ["harmlessness"], "models": ["gpt2", "mine"], "scenarios": ["dpo"]}
    models = {"mine": {"path": str(local)}}
    experiment.write_text(json.dumps({"matrix": matrix, "models": models}))
    of_snakemake = ("--snakefile", "Snakefile", "--directory", folder, "--configfile", experiment)
    finish = [sys.executable, "-m", "benchmarks.planning.finish", *of_snakemake]
    subprocess.run(finish, cwd=ROOT, check=True)
    return folder, experiment


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of the code."""
    folder = tmp_path / "checkout"
    for name in ("rules", "workflow_scripts", "profiles", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tests").mkdir()
    for name in ("Snakefile", "config.yaml", "tests/tiny.yaml"):
        shutil.copyfile(ROOT / name, folder / name)
    return folder


@pytest.mark.parametrize("change", CONFIGURATION)
def test_a_change_of_the_configuration_reruns_what_depends_on_it(
    change: str, finished: Path, every_job: set[str]
):
    configuration, pattern = CONFIGURATION[change]
    arguments = ("--config", *configuration) if configuration else ()
    expected = matching(pattern, every_job)
    if expected:
        expected |= matching(REPORT, every_job)
    assert jobs(finished, *arguments) == expected


@pytest.mark.parametrize("addition", ADDITIONS)
def test_an_addition_runs_new_cells_and_the_report_alone(
    addition: str, finished: Path, every_job: set[str], tmp_path: Path
):
    arguments = ("--config", ADDITIONS[addition])
    new = jobs(tmp_path, *arguments) - every_job
    assert len(matching("probe ", new)) >= 3
    assert jobs(finished, *arguments) == new | matching(REPORT, every_job)


@pytest.mark.parametrize("where", ELSEWHERE)
def test_running_it_elsewhere_reruns_nothing(where: str, finished: Path):
    assert jobs(finished, *ELSEWHERE[where]) == set()


@pytest.mark.parametrize("change", CODE | REPORTED)
def test_a_change_of_the_code_reruns_what_uses_it(
    change: str, finished: Path, every_job: set[str], checkout: Path
):
    apply, pattern = (CODE | REPORTED)[change]
    apply(checkout)
    expected = matching(pattern, every_job)
    if expected and change not in REPORTED:
        expected |= matching(REPORT, every_job)
    assert jobs(finished, checkout=checkout) == expected


def test_a_deleted_checkpoint_whose_predictions_stand_reruns_nothing(copied: Path):
    checkpoints = list(copied.glob("results/**/checkpoint"))
    assert len(checkpoints) > 10
    for checkpoint in checkpoints:
        shutil.rmtree(checkpoint)
    assert jobs(copied) == set()


def test_what_should_not_move_is_left_alone(copied: Path, warm_process: Warm):
    """Run a change: the jobs are those that were planned, and no other file is touched."""
    change = ("--config", "conflicts={explicit: {alpha: 0.25}}", "matrix={scenarios: [simpo]}")
    before = contents(copied)
    planned = jobs(copied, *change)
    ran = joblog.run(copied, *TINY, *change, environment=warm_process.variable)
    assert ran.names == planned
    after = contents(copied)
    moved = {path for path in before if after[path] != before[path]}
    assert any(path.endswith("explicit/seed0/predictions.parquet") for path in moved)
    assert {
        path for path in moved if not re.search(r"/explicit/|^report/|^\.names/", path)
    } == set()
    assert jobs(copied, *change) == set()


@pytest.mark.xdist_group("fabricated")
def test_a_new_revision_of_a_model_reruns_what_is_made_of_it(fabricated: tuple[Path, Path]):
    folder, experiment = fabricated
    given = ("--configfile", str(experiment), "--dry-run")
    assert joblog.run(folder, *given).names == set()
    revision = f"models={{gpt2: {{revision: {'1' * 40}}}}}"
    planned = joblog.run(folder, *given, "--config", revision).names
    expected = joblog.run(folder, *given, "--forceall").names
    of_gpt2 = matching(rf"\S+ \S*\bgpt2\b|{REPORT}", expected)
    assert planned == of_gpt2 != expected


@pytest.mark.xdist_group("fabricated")
def test_a_file_written_over_in_a_local_model_reruns_what_is_made_of_it(
    fabricated: tuple[Path, Path],
):
    folder, experiment = fabricated
    weights = folder / "local/model.safetensors"
    weights.write_bytes(b"other weights")
    planned = joblog.run(folder, "--configfile", experiment, "--dry-run").names
    os.utime(weights, (0, 0))
    assert "local_model models/mine" in planned
    assert "fetch_model models/gpt2" not in planned


@pytest.mark.xdist_group("fabricated")
def test_the_files_of_thousands_of_cells_are_more_than_a_command_may_hold(
    fabricated: tuple[Path, Path],
):
    folder, experiment = fabricated
    jobs = joblog.run(folder, "--configfile", experiment, "--dry-run", "--forceall").jobs
    commands = [str(job.command) for job in jobs if job.rule in ("cells", "page")]
    assert len(commands) == 2
    assert not [command for command in commands if "/seed0" in command]


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    """Return the hash and the time of every result, by its path."""
    results = folder / "results"
    return {
        file.relative_to(results).as_posix(): (
            hashlib.sha256(file.read_bytes()).hexdigest(),
            file.stat().st_mtime_ns,
        )
        for file in results.rglob("*")
        if file.is_file()
        and not re.match(r"(logs|benchmarks|\.provenance)/", file.relative_to(results).as_posix())
    }


MEASURED = r"/(train\.json|metrics\.jsonl)$|^report/index\.html$"
"""What says how long a training took, and differs from run to run."""


def test_what_verify_sets_aside_is_made_again_by_the_command_that_it_prints(
    copied: Path, warm_process: Warm
):
    """One artefact of every kind is damaged; all of them become what they were, and no other."""
    before = contents(copied)
    damaged: dict[str, Path] = {}
    files = (file for file in copied.glob("results/[!.]*/**/[!.]*") if file.is_file())
    for file in sorted(files):
        for path in (file, file.parent):
            with suppress(UserError):
                damaged.setdefault(paths.parse(path.relative_to(copied)).template, file)
    assert len(damaged) > 25
    for file in damaged.values():
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    half_written = copied / "results/report/.cells.csv.1.partial"
    half_written.touch()
    told = joblog.run(copied, *TINY, "--", "verify", status=1).output
    assert f"half-written  {half_written.relative_to(copied)}:" in told
    (typed,) = re.findall(r"^    (snakemake .*)", told, re.MULTILINE)
    command = subprocess.run(["sh", "-c", f"echo {typed}"], capture_output=True, text=True).stdout
    again = command.split("--force ")[1].split()
    assert len(again) == len(damaged)
    joblog.run(copied, *TINY, "--force", *again, environment=warm_process.variable)
    joblog.run(copied, "verify", *TINY)
    assert {job.split()[0] for job in jobs(copied)} <= {"cells", "tables", "figure", "page"}
    joblog.run(copied, *TINY, environment=warm_process.variable)
    joblog.run(copied, "verify", *TINY)
    after = contents(copied)
    assert {
        path
        for path, (hashed, _) in before.items()
        if after[path][0] != hashed and not re.search(MEASURED, path)
    } == set()


def test_another_version_of_a_library_is_told_of_and_reruns_nothing(copied: Path):
    records = list(copied.glob("results/.provenance/versions/train-*.json"))
    for record in records:
        record.write_text(re.sub(r'("torch": )"[^"]*"', r'\1"1.0"', record.read_text()))
    dry = joblog.run(copied, *TINY, "--dry-run")
    assert "train (torch 1.0, now " in dry.output
    assert dry.names == set()
    assert len(matching("ground_truth ", jobs(copied, "--config", "strict_environment=true"))) == 6


def test_another_parallelism_from_nothing_gives_the_same_bytes(
    finished: Path, tmp_path: Path, warm_process: Warm
):
    given = ("--cores", "1", "--config", "matrix={scenarios: [dpo]}", "--until", "probe")
    joblog.run(tmp_path, *TINY, *given, environment=warm_process.variable)
    alone, beside = contents(tmp_path), contents(finished)
    measured = [path for path in alone if re.search(r"predictions\.parquet$|^probes/", path)]
    assert len(measured) == 2 + 3 + 3
    assert {path for path in measured if alone[path][0] != beside[path][0]} == set()


def state(folder: Path) -> dict[str, tuple[str, int]]:
    """Return the hash and the time of every result and of every record."""
    records = folder / "results/.provenance"
    return contents(folder) | {
        str(file): (file.read_text(), file.stat().st_mtime_ns) for file in records.rglob("*.json")
    }


def test_a_finished_run_of_older_code_is_taken_over(copied: Path, checkout: Path):
    apply, _ = CODE["the DPO loss"]
    apply(checkout)
    deleted = list(copied.glob("results/weak_to_strong/*/*/*/*/*/seed0/checkpoint"))
    for checkpoint in deleted:
        shutil.rmtree(checkpoint)
    before = contents(copied)
    pending = jobs(copied, checkout=checkout)
    assert matching(r"ground_truth ground_truth/substances/dpo/", pending)
    told = joblog.run(copied, "adopt", *TINY, checkout=checkout).output
    assert re.search(r"^Took over \d+ results of \d+ jobs; no job would run\.$", told, re.MULTILINE)
    assert jobs(copied, checkout=checkout) == set()
    assert {path: hashed for path, (hashed, _) in contents(copied).items()} == {
        path: hashed for path, (hashed, _) in before.items()
    }
    probe = "probes/substances/{}/small/middle/none/seed0.json"
    records = [
        json.loads((copied / f"results/.provenance/{probe.format(name)}.json").read_text())
        for name in ("dpo", "simpo")
    ]
    assert not any("code_when_made" in record for record in records), "their code is the same"
    trained = "ground_truth/substances/dpo/small/seed0/predictions.parquet"
    record = json.loads((copied / f"results/.provenance/{trained}.json").read_text())
    assert record["code"] != record["code_when_made"]
    missed = joblog.run(copied, "verify", *TINY, checkout=checkout, status=1).output
    missing = re.findall(r"^missing +results/(\S+):", missed, re.MULTILINE)
    assert len(missing) == len(deleted)


SETS = "data/filled_sets.py"


def test_a_report_of_older_code_is_made_again_and_all_else_taken_over(copied: Path, checkout: Path):
    for change in ("the DPO loss", "a plot"):
        apply, _ = (CODE | REPORTED)[change]
        apply(checkout)
    more = '"shout": [pair.prompt.upper() for pair in self.pairs.values()],'
    edited(SETS, "            GROUP:", f"            {more}\n            GROUP:")(checkout)
    told = joblog.run(copied, "adopt", *TINY, checkout=checkout).output
    assert re.search(
        r"^Took over \d+ results of \d+ jobs; the analysis is to be made again\.$", told, re.M
    )
    left = jobs(copied, checkout=checkout)
    assert matching("figure ", left)
    assert {job.split()[0] for job in left} <= {"cells", "tables", "figure", "page"}
    # Sets that say more of the same pairs are in the place of the older ones.
    pairs = pq.read_table(copied / "results/data/substances/gt.parquet").to_pylist()
    assert all(pair["shout"] == pair["prompt"].upper() for pair in pairs)
    assert not (copied / "results/.remade").exists()
    verified = joblog.run(copied, "verify", *TINY, checkout=checkout).output
    assert "results/data" not in verified


REFUSED = {
    "another setting": (
        ("--config", "scenarios={simpo: {beta: 2.5}}"),
        "",
        r"ground_truth/substances/simpo/\S+: its settings changed: beta: 2.0, now 2.5",
    ),
    "a new seed": (("--config", "matrix={seeds: [0, 1]}"), "", r"seed1/\S+: Missing output files"),
    "a corrupt result": ((), "corrupt", r"predictions.parquet: corrupt: "),
    "a corrupt probe": ((), "corrupt probe", r"probes/\S+: corrupt: "),
    "a missing result": ((), "delete", r"probes/\S+: Missing output files"),
    "other rows": ((), "rows", r"data/substances/gt.parquet: made again, it holds other rows"),
}
"""By case: what --config adds, what happens to a file, and what the refusal says."""


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_the_same_run_is_not_taken_over(case: str, copied: Path, checkout: Path):
    arguments, fault, message = REFUSED[case]
    apply, _ = CODE["the DPO loss"]
    apply(checkout)
    if fault == "corrupt":
        file = copied / "results/ground_truth/substances/dpo/small/seed0/predictions.parquet"
        file.write_bytes(file.read_bytes()[:-20])
    if fault == "corrupt probe":
        next(copied.glob("results/probes/*/simpo/*/*/explicit/*.json")).write_text("{}")
    if fault == "rows":
        edited(SETS, "[pair.rejected for", "[pair.rejected.upper() for")(checkout)
    if fault == "delete":
        next(copied.glob("results/probes/*/simpo/*/*/explicit/*.json")).unlink()
    before = state(copied)
    told = joblog.run(copied, "adopt", *TINY, *arguments, checkout=checkout, status=1).output
    assert re.search(rf"^results/\S*{message}", told, re.MULTILINE), told[-4000:]
    assert re.search(r"^error: nothing was taken over: ", told, re.MULTILINE)
    assert state(copied) == before
