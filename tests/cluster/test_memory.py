"""The memory model, and what it says of the paper's models."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, MistralConfig, OPTConfig

from tests.shared.base_models import FAMILIES, save_base
from tests.shared.configuration import PAPER, changed, loaded
from workflow_scripts.cluster import hardware, memory, room, shapes
from workflow_scripts.cluster.memory import GB, Layout
from workflow_scripts.cluster.model_sizes import shape_of
from workflow_scripts.cluster.shapes import ARITHMETIC, Precision, Shape
from workflow_scripts.core.errors import UserError
from workflow_scripts.methods.readout import Readout
from workflow_scripts.models import adapters
from workflow_scripts.models.checkpoints import fuse_gelu, without_dropout

WIDTH, LENGTH, TEXTS = 256, 512, 3
COMMON: dict[str, Any] = {
    "num_attention_heads": 4,
    "max_position_embeddings": LENGTH,
    "vocab_size": 512,
}
CONFIGS = {
    "gpt2": lambda layers: GPT2Config(**COMMON, n_embd=WIDTH, n_layer=layers),
    "opt": lambda layers: OPTConfig(
        **COMMON,
        hidden_size=WIDTH,
        ffn_dim=4 * WIDTH,
        word_embed_proj_dim=WIDTH,
        num_hidden_layers=layers,
    ),
    "mistral": lambda layers: MistralConfig(
        **COMMON,
        hidden_size=WIDTH,
        intermediate_size=7 * WIDTH // 2,
        num_key_value_heads=1,
        num_hidden_layers=layers,
    ),
    "llama": lambda layers: LlamaConfig(
        **COMMON, hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=layers
    ),
}


def saved_bytes(config, checkpointing, precision: Precision, r=None):
    """Return the bytes that a forward pass keeps for its backward pass."""
    model = AutoModelForCausalLM.from_config(
        without_dropout(config), attn_implementation="sdpa"
    ).train()
    fuse_gelu(model)
    if r is not None:
        adapters.add(model, adapters.Lora(r=r, alpha=r), Readout.MEAN_LOG_PROBABILITY)
        if precision == "bfloat16":
            adapters.shrink(model)
    if checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    shapes = {tuple(p.shape) for p in model.parameters() if p.dim() == 2}
    shapes |= {shape[::-1] for shape in shapes}
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        # The weights, and their casts to bfloat16, are other parts of the memory model.
        if storage.data_ptr() not in weights and tuple(tensor.shape) not in shapes:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    ids = torch.zeros(TEXTS, LENGTH, dtype=torch.long)
    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=False),
    ):
        model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize("precision", ARITHMETIC)
@pytest.mark.parametrize("family", CONFIGS)
def test_activations_are_what_torch_keeps_of_a_layer(family, precision):
    """Two layers more keep as much more as the model says: never less, nor much less than that."""
    for checkpointing, said in ((False, shapes.FAMILIES[family].saved(precision)), (True, 4)):
        two, four = (saved_bytes(CONFIGS[family](n), checkpointing, precision) for n in (2, 4))
        measured = (four - two) / (2 * TEXTS * LENGTH * WIDTH)
        assert 0.9 * said <= measured <= said


@pytest.mark.parametrize("precision", ARITHMETIC)
@pytest.mark.parametrize("family", CONFIGS)
def test_adapters_take_no_more_than_the_model_says(family, precision):
    """Two layers more keep as much more, and have as many weights more, as it says, or less."""
    shape = Shape.of(10**6, family, WIDTH, 2, 512).with_adapters(64, None)
    two, four = (saved_bytes(CONFIGS[family](n), False, precision, r=64) for n in (2, 4))
    measured = (four - two) / (2 * TEXTS * LENGTH * WIDTH)
    assert measured <= shapes.FAMILIES[family].saved(precision) + ARITHMETIC[precision].adapters
    model = AutoModelForCausalLM.from_config(CONFIGS[family](2))
    adapters.add(model, adapters.Lora(r=64, alpha=64), Readout.MEAN_LOG_PROBABILITY)
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert 0.6 * shape.adapters <= trained <= shape.adapters


@pytest.mark.parametrize("model", ["opt-2.7b", "mistral-7b", "llama-8b"])
def test_with_lora_a_large_model_is_trained_on_one_small_gpu(model):
    entry = {"path": "it", "family": "llama", "params": 8_030_261_248, "width": 4096, "layers": 32}
    models = PAPER["models"] | {"llama-8b": entry}
    config = copy.deepcopy(PAPER) | {"models": models}
    config["models"][model] = models[model] | {"lora": {"r": 16, "alpha": 32}}
    config["hardware"] = {"rtx4090": {"memory_gb": 24, "bf16_tflops": 165, "per_node": 1}}
    asked = hardware.request(loaded(config), model, tokens=1)
    assert (asked.gpu, asked.zero, asked.offload) == (1, 0, False)
    assert room.checkpoint_bytes(loaded(config), model) < 0.5 * GB
    del config["models"][model]["lora"]
    with pytest.raises(UserError, match="fits no GPU"):
        hardware.request(loaded(config), model, tokens=1)


def test_models_in_bfloat16_take_half_the_disk_and_states_what_they_took():
    full, half = (loaded(changed("checkpoint_dtype", dtype)) for dtype in ("float32", "bfloat16"))
    params = shape_of(full, "gpt2-xl").params
    assert [room.checkpoint_bytes(config, "gpt2-xl") for config in (full, half)] == [
        4 * params,
        2 * params,
    ]
    assert {room.state_bytes(config, "gpt2-xl") for config in (full, half)} == {12 * params}


def test_the_bytes_of_a_weight_add_up():
    """Weight, gradient and two moments in float32, and a copy to reduce or to share out."""
    shape = Shape.of(1_000_000_000, "opt")
    for plan, expected in (
        (Layout(1, 1), 16),
        (Layout(4, 1), 16 + 4),
        (Layout(4, 1, zero=2), 4 + (4 + 12) / 4),
        (Layout(4, 1, zero=3), (4 + 4 + 12) / 4),
        (Layout(4, 1, zero=2, offload=True), 4 + 4 / 4),
        (Layout(4, 1, zero=3, offload=True), (4 + 4) / 4),
    ):
        need = memory.training(shape, plan, 512)
        of_weights = need.weights + need.gradients + need.optimizer
        of_weights += need.buffers if plan.zero == 0 else 0
        assert of_weights / shape.params == pytest.approx(expected), plan


@pytest.mark.parametrize(
    ("model", "gpus", "gpu_model", "zero", "checkpointing"),
    [
        ("gpt2", 1, "a40", 0, False),
        ("gpt2-medium", 1, "a40", 0, False),
        ("gpt2-large", 1, "a40", 0, False),
        # Half the micro-batch is taken before a third more work.
        ("gpt2-xl", 1, "a40", 0, False),
        ("opt-1.3b", 1, "a40", 0, False),
        ("opt-2.7b", 1, "a800", 0, False),
        ("opt-6.7b", 4, "a800", 2, True),
        ("mistral-7b", 4, "a800", 2, True),
    ],
)
def test_a_model_is_trained_on_the_least_that_holds_it(model, gpus, gpu_model, zero, checkpointing):
    config = loaded(PAPER)
    asked = hardware.request(config, model, tokens=hardware.tokens_of_pairs(config, 4000))
    assert (asked.gpu, asked.gpu_model, asked.zero) == (gpus, gpu_model, zero)
    assert asked.checkpointing == checkpointing
    assert 32 % (asked.ranks * asked.micro_batch) == 0


def with_keys(**keys):
    """Return the paper's configuration with keys changed; a double underscore is a dot."""
    config = copy.deepcopy(PAPER)
    for key, value in keys.items():
        *parents, last = key.split("__")
        node = config
        for parent in parents:
            node = node[parent]
        node[last] = value
    return loaded(config)


def test_an_entry_has_its_way_and_the_rest_is_filled_in():
    entry = PAPER["models"]["mistral-7b"]
    both = PAPER["hardware"]
    small = {"a40": both["a40"]}
    for more, hardware_section, expected in (
        ({"gpu_model": "a800", "gpus": 8}, both, ("a800", 8, 2, False, 1, False)),
        (
            {"gpu_model": "a800", "gpus": 16, "nodes": 2},
            PAPER["hardware"],
            ("a800", 16, 2, False, 1, False),
        ),
        ({"zero": 3}, both, ("a40", 4, 3, False, 2, True)),
        ({}, small, ("a40", 4, 3, False, 2, True)),
        ({"gpus": 1}, both, ("a800", 1, 2, True, 8, True)),
        ({"gpus": 0, "gpu_model": "a40"}, small, ("a40", 0, 0, False, 8, False)),
    ):
        models = PAPER["models"] | {"mistral-7b": entry | more}
        config = with_keys(models=models, hardware=hardware_section)
        asked = hardware.request(config, "mistral-7b", tokens=1_000_000)
        found = (asked.gpu_model, asked.gpu, asked.zero, asked.offload)
        found += (asked.micro_batch, asked.checkpointing)
        assert found == expected, more


@pytest.mark.parametrize(
    ("growth", "memory", "time", "micro_batch"),
    [((0, 0), 1, 1, 8), ((1, 0), 2, 1, 4), ((0, 2), 1, 4, 8), ((5, 0), 32, 1, 1)],
)
def test_a_further_attempt_gets_more_of_what_it_lacked(growth, memory, time, micro_batch):
    config = loaded(PAPER)
    for ask in (hardware.request, hardware.readout, hardware.scoring):
        first = ask(config, "gpt2", tokens=10**9)
        again = ask(config, "gpt2", tokens=10**9, growth=hardware.Growth(*growth))
        assert again.mem_mb == memory * first.mem_mb
        assert again.runtime_min == time * first.runtime_min
        assert again.micro_batch == micro_batch


def test_what_fits_nowhere_is_an_error_and_scoring_takes_one_gpu():
    config = with_keys(models__gpt2__params=200_000_000_000)
    with pytest.raises(UserError, match=r"^models.gpt2: its training fits no GPU of `hardware`"):
        hardware.request(config, "gpt2", tokens=1)
    paper = loaded(PAPER)
    for model in paper.models:
        asked = hardware.scoring(paper, model, tokens=1)
        shape = shape_of(paper, model)
        assert asked.gpu == 1
        assert 4 * shape.params < paper.hardware[asked.gpu_model].memory_gb * GB


@pytest.mark.parametrize("shards", ["50GB", "20KB"])
def test_a_model_without_params_has_the_size_of_its_files(shards, tmp_path):
    folder = save_base(tmp_path / "mine", FAMILIES["mistral"])
    model = AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size=shards)
    there = loaded(changed("models.gpt2", {"path": str(folder)}))
    weights = sum(weight.numel() for weight in model.parameters())
    saved = shapes.FAMILIES["mistral"].bfloat16
    assert shape_of(there, "gpt2") == Shape(weights, 16, 2, 257, saved)
    own = {"path": str(folder), "params": 10**9, "family": "opt", "layers": 24}
    assert shape_of(loaded(changed("models.gpt2", own)), "gpt2") == Shape(
        10**9, 16, 24, 257, shapes.FAMILIES["opt"].bfloat16
    )
    # Weights that have not come yet: the numbers of config.json.
    for file in folder.glob("model*"):
        file.write_bytes(b"version https://git-lfs")
    (folder / "config.json").touch()
    assert shape_of(there, "gpt2").params == 12 * 2 * 16**2 + 257 * 16


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "models.gpt2.gpu_model",
            "a4O",
            "models.gpt2.gpu_model: 'a4O' is not defined; did you mean",
        ),
        ("models.gpt2.gpus", 5, "models.gpt2.gpus: 5 GPUs cannot share training.batch_size 32"),
        (
            "models.gpt2",
            PAPER["models"]["gpt2"] | {"gpus": 2, "nodes": 2},
            "models.gpt2.gpus: give each of 2 nodes at least 2 GPUs",
        ),
        ("models.gpt2.zero", 1, "models.gpt2.zero: 1 is not valid"),
        (
            "models.gpt2",
            PAPER["models"]["gpt2"] | {"lora": {}, "zero": 3},
            "models.gpt2.zero: LoRA leaves nothing to share out",
        ),
        (
            "models.gpt2",
            PAPER["models"]["gpt2"] | {"learning_rates": {"sipmo": 1e-5}},
            "models.gpt2.learning_rates.sipmo: 'sipmo' is not defined; did you mean 'simpo'?",
        ),
    ],
)
def test_a_mistake_in_an_entry_is_one_line(key, value, message):
    with pytest.raises(UserError) as failure:
        loaded(changed(key, value))
    assert message in str(failure.value)


def test_the_documented_table_is_what_the_model_says():
    document = Path(__file__).parents[2] / "docs" / "memory.md"
    for precision in ("fixed", "reference"):
        table = hardware.table(loaded(PAPER | {"compat": {"precision": precision}}))
        assert table in document.read_text(encoding="utf-8")
