"""A model is opened when it is taken in, and refused where a later stage could not use it."""

import argparse
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.shared.base_models import FAMILIES, UNLIKE, save_base
from workflow_scripts.core.errors import UserError
from workflow_scripts.methods.readout import Readout
from workflow_scripts.models import base_models, checkpoints
from workflow_scripts.stages import base_model

WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
NAME = "transformer.h.0.attn.c_attn.weight"
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("models") / "sound", FAMILIES["gpt2"])


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "mine"))


def take_in(folder: Path) -> Path:
    """Take a local model in, as the stage does."""
    parser = argparse.ArgumentParser()
    base_model.add_arguments(parser)
    output = folder.parent / "taken"
    settings = {"id": None, "revision": None, "path": str(folder), "pickled_weights": False}
    arguments = ["--settings", json.dumps(settings), "--folder", str(folder)]
    base_model.run(parser.parse_args([*arguments, "--output", str(output)]))
    return output


def config(**changes: object) -> Damage:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Damage:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / WHOLE)
        change(tensors)
        save_file(tensors, folder / WHOLE, {"format": "pt"})

    return damage


def content(change: Callable[[bytes], bytes]) -> Damage:
    def damage(folder: Path) -> None:
        (folder / WHOLE).write_bytes(change((folder / WHOLE).read_bytes()))

    return damage


def shards(change: Callable[[Path, dict[str, Any]], object]) -> Damage:
    """Save the model in several files, and change the folder and what its index says."""

    def damage(folder: Path) -> None:
        model = AutoModelForCausalLM.from_pretrained(folder)
        (folder / WHOLE).unlink()
        model.save_pretrained(folder, max_shard_size="20KB")
        index = json.loads((folder / INDEX).read_text())
        change(folder, index)
        (folder / INDEX).write_text(json.dumps(index))

    return damage


def more_tokens(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>"])
    tokenizer.save_pretrained(folder)


def adapter_alone(folder: Path) -> None:
    (folder / WHOLE).rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text("{}")


def link_out(folder: Path) -> None:
    (folder / WHOLE).rename(folder.parent / "elsewhere")
    (folder / WHOLE).symlink_to(folder.parent / "elsewhere")


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n"
HUGE_HEADER = struct.pack("<Q", 2**40)
FAULTS: dict[str, tuple[Damage, str]] = {
    "git-lfs pointer": (
        content(lambda _: POINTER),
        "model.safetensors is a git-lfs pointer; run `git lfs pull` in that folder",
    ),
    "empty": (content(lambda _: b""), "model.safetensors is empty; get it again"),
    "cut": (content(lambda whole: whole[:-1]), "model.safetensors is no whole safetensors file ("),
    "no header": (
        content(lambda _: HUGE_HEADER + bytes(100)),
        "model.safetensors is no whole safetensors file (",
    ),
    "shard missing": (
        shards(lambda folder, _: next(folder.glob("model-00002-*")).unlink()),
        "model-00002-of-",
    ),
    "index leads out": (
        shards(lambda _, index: index["weight_map"].update({NAME: "../../secret.safetensors"})),
        "names ../../secret.safetensors, and must name files of its own folder",
    ),
    "index is none": (
        shards(lambda _, index: index.clear()),
        "model.safetensors.index.json is no index of weights (",
    ),
    "link leads out": (link_out, "model.safetensors is a link to "),
    "adapter alone": (adapter_alone, "holds an adapter alone; merge it into its model"),
    "other name": (
        lambda folder: (folder / WHOLE).rename(folder / "consolidated.safetensors"),
        "holds consolidated.safetensors, and transformers looks for model.safetensors or",
    ),
    "weight missing": (weights(lambda all_: all_.pop(NAME)), f"weights are missing: {NAME};"),
    "weight unknown": (
        weights(lambda all_: all_.update(mine=torch.ones(1))),
        "weights that gpt2 does not know: mine;",
    ),
    "other shape": (
        weights(lambda all_: all_.update({NAME: torch.ones(2, 3)})),
        f"weights of another shape than config.json says: {NAME} is (2, 3) and not (16, 48);",
    ),
    "not a number": (
        weights(lambda all_: all_[NAME][0].fill_(torch.nan)),
        f"{NAME} has values that are not finite; get the model again",
    ),
    "eight bits": (
        weights(lambda all_: all_.update({NAME: all_[NAME].to(torch.int8)})),
        f"{NAME} is quantized (I8); name the model in 16 or 32 bits",
    ),
    "quantized": (
        config(quantization_config={"quant_method": "gptq", "bits": 4}),
        "config.json: quantization_config: the model is quantized;",
    ),
    "layers in words": (config(n_layer="two"), "config.json does not open ("),
    "negative layers": (
        config(n_layer=-2),
        "config.json: num_hidden_layers is -2; it must be 1 or more",
    ),
    "heads that do not divide": (config(n_head=5), "does not open as a language model ("),
    "unknown family": (config(model_type="mine"), "config.json does not open ("),
    "code of its own": (
        config(model_type="mine", auto_map={"AutoConfig": "run_me.Config"}),
        "config.json: auto_map: the model needs code of its own, which is never run;",
    ),
    "code from the hub for its attention": (
        config(_attn_implementation="kernels-community/flash-attn"),
        "config.json: attn_implementation: kernels-community/flash-attn is code from the hub,",
    ),
    "more tokens than embeddings": (
        more_tokens,
        "the tokenizer has 259 tokens, but the model embeds 257; give the tokenizer",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_model_that_cannot_be_used_is_refused_when_it_is_taken_in(fault: str, folder: Path):
    damage, message = FAULTS[fault]
    damage(folder)
    with pytest.raises(UserError) as refused:
        take_in(folder)
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{folder}: ")
    assert message in line
    assert not (folder.parent / "taken").exists()


@pytest.mark.parametrize(
    "harmless",
    [
        lambda folder: None,
        shards(lambda folder, _: (folder / "consolidated.safetensors").write_bytes(b"twice")),
        # As old versions of transformers saved them.
        weights(lambda all_: all_.update({"transformer.h.0.attn.masked_bias": torch.ones(1)})),
    ],
)
def test_a_sound_model_is_taken_in_whole(harmless: Damage, folder: Path):
    expected = load_file(folder / WHOLE)
    harmless(folder)
    taken = take_in(folder)
    assert not (taken / "consolidated.safetensors").exists()
    opened = checkpoints.load_base(taken, Readout.MEAN_LOG_PROBABILITY).state_dict()
    assert all(torch.equal(opened[name], expected[name]) for name in expected)


@pytest.mark.parametrize("family", [*FAMILIES, *UNLIKE])
def test_models_of_every_family_are_taken_in(family: str, tmp_path: Path):
    take_in(save_base(tmp_path / "mine", (FAMILIES | UNLIKE)[family]))


def test_links_of_the_hubs_own_cache_are_followed(folder: Path):
    repository = folder.parent / "models--owner--model"
    snapshot = repository / "snapshots/0123"
    (repository / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for file in folder.iterdir():
        file.rename(repository / "blobs" / file.name)
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    base_models.copy(snapshot, folder.parent / "taken", "it")
    assert not any(file.is_symlink() for file in (folder.parent / "taken").iterdir())


@pytest.mark.parametrize("broken", [b"", b"e", b"PK\x03\x04 cut", bytes(range(256)), POINTER])
def test_a_broken_pickle_is_one_line(broken: bytes, folder: Path):
    (folder / WHOLE).unlink()
    (folder / "pytorch_model.bin").write_bytes(broken)
    with pytest.raises(
        UserError, match=r"^it: .*pytorch_model\.bin|^it: its pickled weights"
    ) as line:
        base_models.convert(folder, "it")
    assert len(str(line.value).splitlines()) == 1


def test_a_checkpoint_that_is_cut_is_one_line(folder: Path):
    (folder / WHOLE).write_bytes((folder / WHOLE).read_bytes()[:-1])
    with pytest.raises(UserError, match=rf"^{folder}: cannot be opened as a model \("):
        checkpoints.load_trained(folder, Readout.MEAN_LOG_PROBABILITY)
