"""What the user's environment says changes no result; what it needs stays."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import matplotlib
import pytest
from fontTools.ttLib import TTFont

from tests.shared.base_models import FAMILIES, save_base
from tests.shared.probes import write_cells, write_probe
from tests.shared.stages import run_stage
from tests.shared.trainings import COMMON, SETTINGS, train, write_pairs
from tests.shared.workflows import ROOT
from workflow_scripts.runtime import environment

HOSTILE = {
    # A shell that was started by a launcher of ranks, and by MPI.
    **{"RANK": "3", "LOCAL_RANK": "1", "MASTER_ADDR": "nowhere", "PMI_RANK": "1", "PMI_SIZE": "2"},
    **{"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "2"},
    # What `accelerate launch` sets.
    **{"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DYNAMO_BACKEND": "inductor"},
    **{"ACCELERATE_MIXED_PRECISION": "bf16", "ACCELERATE_GRADIENT_CLIPPING": "0.001"},
    **{"ACCELERATE_USE_FSDP": "true", "FSDP_OFFLOAD_PARAMS": "true"},
    # What people try for speed.
    **{"ATEN_CPU_CAPABILITY": "default", "ONEDNN_DEFAULT_FPMATH_MODE": "BF16"},
    **{"MKL_CBWR": "COMPATIBLE", "TORCH_MKLDNN_MATMUL_MIN_DIM": "1", "TORCH_LOGS": "nonsense"},
    **{"NVIDIA_TF32_OVERRIDE": "1", "OMP_DYNAMIC": "true", "USE_TORCH": "0"},
    # A notebook's shell on a system that is not in UTF-8.
    **{"MPLBACKEND": "module://matplotlib_inline.backend_inline", "PYTHONIOENCODING": "ascii"},
    **{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
SECRET = "hf_aSecretThatNobodyIsToRead"
# Ends a process that asks the network; and its user has no entry, as in some containers.
OFFLINE = """
import os, pwd, sys
def unknown(user):
    raise KeyError(user)
pwd.getpwuid = unknown
def look(event, args):
    if event == "socket.getaddrinfo" or event == "socket.connect" and args[0].family != 1:
        os.write(2, b"error: asked the network\\n")
        os._exit(99)
sys.addaudithook(look)
"""
# In the place of the package with which transformers runs code that it fetches.
KERNELS = 'import os\nos.write(2, b"error: code of the hub\\n")\nos._exit(98)\n'
NEEDED = {
    **{"HF_HOME": "/cache", "HF_TOKEN": "secret", "CUDA_VISIBLE_DEVICES": "1", "HOME": "/home/me"},
    **{"NCCL_SOCKET_IFNAME": "ib0", "TORCH_NCCL_BLOCKING_WAIT": "1", "OMP_NUM_THREADS": "3"},
    **{"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True", "http_proxy": "http://proxy"},
    **{"SLURM_JOB_ID": "7", "TMPDIR": "/scratch", "TORCH_CUDA_ARCH_LIST": "8.0"},
}
TYPICAL = {name.replace("*", "THING") for name in environment.CLEARED} - {"MATPLOTLIBRC"}


def cleared(monkeypatch: pytest.MonkeyPatch, before: Mapping[str, str], **options: bool) -> dict:
    """Return what is left of an environment."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", dict(before))
        environment.clear(**options)
        return dict(os.environ)


def test_variables_that_change_results_are_cleared_and_needed_ones_stay(monkeypatch):
    before = dict.fromkeys(TYPICAL, "1") | NEEDED
    assert cleared(monkeypatch, before) == NEEDED | {"MATPLOTLIBRC": os.devnull}


@pytest.mark.parametrize(
    ("launched", "stays"),
    [
        ({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_PORT": "29500"}, True),
        ({"RANK": "3"}, False),
        ({"WORLD_SIZE": "2"}, False),
        ({"RANK": "2", "WORLD_SIZE": "2"}, False),
        ({"RANK": "one", "WORLD_SIZE": "2"}, False),
    ],
)
def test_ranks_are_those_of_a_whole_launch_and_never_snakemakes_own(launched, stays, monkeypatch):
    left = cleared(monkeypatch, launched)
    assert left == (launched if stays else {}) | {"MATPLOTLIBRC": os.devnull}
    assert cleared(monkeypatch, launched, may_be_launched=False).keys() == {"MATPLOTLIBRC"}


def test_the_documentation_lists_what_is_cleared():
    page = (ROOT / "docs/reliability.md").read_text()
    for name, what in environment.CLEARED.items():
        assert f"| `{name}` | {what} |" in page
    for name in (*environment.KEPT, *environment.LAUNCHER):
        assert f"`{name}`" in page


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder to work in whose settings, and whose home's, are unlike the defaults."""
    folder = tmp_path_factory.mktemp("hostile")
    settings = folder / "home/.config/matplotlib"
    fonts = folder / "home/.local/share/fonts"
    for place in (settings, fonts):
        place.mkdir(parents=True)
    (folder / "matplotlibrc").write_text(
        "text.usetex: True\nfont.family: serif\nsavefig.facecolor: red\naxes.grid: True\n"
    )
    (settings / "matplotlibrc").write_bytes(b"# caf\xe9\n")
    own = Path(matplotlib.get_data_path(), "fonts/ttf")
    font = TTFont(own / "DejaVuSerif.ttf")
    for record in font["name"].names:
        named = record.toUnicode().replace("Serif", "Sans")
        record.string = named.encode(record.getEncoding())
    font.save(fonts / "DejaVuSans.ttf")
    return folder


def in_hostile(folder: Path, *argv: object, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a stage in a process of its own, in the hostile folder and environment."""
    clean = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    ran = subprocess.run(
        [sys.executable, "-m", "workflow_scripts", *map(str, argv)],
        cwd=folder,
        env=clean | HOSTILE | {"PYTHONPATH": str(ROOT), "HOME": str(folder / "home")} | more,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    return ran


@pytest.mark.slow
def test_a_training_in_a_hostile_environment_gives_the_same_bytes(hostile: Path, tmp_path: Path):
    """User and home do not even exist; nothing asks the network, and no secret is told.

    Nor does it run code of the hub, which the model's configuration asks for.
    """
    (tmp_path / "sitecustomize.py").write_text(OFFLINE)
    (tmp_path / "kernels.py").write_text(KERNELS)
    base = save_base(tmp_path / "base", FAMILIES["gpt2"])
    config = json.loads((base / "config.json").read_text())
    config["attn_implementation"] = "kernels-community/flash-attn2"
    (base / "config.json").write_text(json.dumps(config))
    pairs = write_pairs(tmp_path / "gt.parquet", 16)
    train(tmp_path / "clean", base, pairs, SETTINGS["simpo"])
    out = tmp_path / "hostile"
    ran = in_hostile(
        hostile,
        *("train", "--settings", json.dumps(COMMON | SETTINGS["simpo"]), "--model", base),
        *("--pairs", pairs, "--micro-batch", 8, "--threads", 1, "--checkpoint", out / "checkpoint"),
        *("--record", out / "train.json", "--metrics", out / "metrics.jsonl"),
        **{"HOME": "/proc/nobody", "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        **{"HF_TOKEN": SECRET, "HUGGING_FACE_HUB_TOKEN": SECRET},
    )
    model = "checkpoint/model.safetensors"
    assert (out / model).read_bytes() == (tmp_path / "clean" / model).read_bytes()
    assert SECRET not in ran.stdout + ran.stderr
    written = [path for path in out.rglob("*") if path.is_file()]
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["kernels-community/flash-attn2", "flash_attention_2"])
def test_a_model_that_is_taken_in_runs_no_code_of_the_hub(attention: str, tmp_path: Path):
    (tmp_path / "kernels.py").write_text(KERNELS)
    base = save_base(tmp_path / "base", FAMILIES["gpt2"])
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"attn_implementation": attention}))
    settings = {"id": None, "revision": None, "path": str(base), "pickled_weights": False}
    given = ("--settings", json.dumps(settings), "--folder", str(base), "--output", tmp_path / "to")
    ran = subprocess.run(
        [sys.executable, "-m", "workflow_scripts", "base_model", *given],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr[:7]) == (1, "error: ")
    assert str(base) in ran.stderr


@pytest.mark.slow
def test_figures_and_summary_in_a_hostile_environment_are_the_same(hostile: Path, tmp_path: Path):
    probes = [
        write_probe(tmp_path, "simpo", "small", "large", conflict, 0)
        for conflict in ("none", "explicit")
    ]
    cells = write_cells(tmp_path, probes)
    given = ("--cells", cells, "--reliability", cells.with_name("reliability.parquet"))
    given += ("--target", "harmlessness", "--output")
    run_stage("figures", *given, tmp_path / "clean")
    in_hostile(hostile, "figures", *given, tmp_path / "hostile")
    figures = sorted(path.name for path in (tmp_path / "clean").iterdir())
    assert len(figures) > 10
    for name in figures:
        assert (tmp_path / "hostile" / name).read_bytes() == (
            tmp_path / "clean" / name
        ).read_bytes()
    assert "small ? large" in in_hostile(hostile, "summary", "--cells", cells).stdout
