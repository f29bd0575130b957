"""What plans reckon with where `compat.precision` asks a GPU for products in float32."""

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile
from transformers import AutoModelForCausalLM

from tests.cluster.test_memory import CONFIGS, LENGTH, WIDTH
from tests.shared.configuration import PAPER, loaded
from tests.shared.workflows import ROOT
from workflow_scripts.cluster import hardware, memory, plan, work
from workflow_scripts.cluster.memory import GB, Layout
from workflow_scripts.cluster.model_sizes import shape_of
from workflow_scripts.cluster.shapes import ARITHMETIC, Precision, Shape
from workflow_scripts.config import experiment
from workflow_scripts.config.experiment import Config
from workflow_scripts.config.layers import Layer, read_layers
from workflow_scripts.models.checkpoints import fuse_gelu, without_dropout

FOLDER = "results/ground_truth/harmlessness/reward_model/gpt2-xl/seed0"


def peak_of(run: Callable[[], object]) -> int:
    """Return the most bytes that torch has allocated at once while ``run`` ran, beyond before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        run()
    kineto = profiled.profiler
    assert kineto is not None
    assert kineto.kineto_results is not None
    events = [event for event in kineto.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    sizes = (event.nbytes() for event in events)  # pyright: ignore[reportAttributeAccessIssue]
    return max(accumulate(sizes))


def autocast(precision: Precision) -> torch.autocast:
    is_low = precision == "bfloat16"
    return torch.autocast("cpu", torch.bfloat16, enabled=is_low, cache_enabled=False)


@pytest.mark.parametrize("precision", ARITHMETIC)
@pytest.mark.parametrize("trains", [True, False])
def test_logits_take_no_more_than_the_memory_model_says(trains: bool, precision: Precision):
    tokens, vocabulary = 128, 20_000
    head = nn.Linear(16, vocabulary, bias=False)
    hidden, targets = torch.randn(tokens, 16, requires_grad=True), torch.arange(tokens)

    def run() -> None:
        with torch.set_grad_enabled(trains):
            with autocast(precision):
                logits = head(hidden)
                scores = functional.cross_entropy(logits.float(), targets, reduction="none")
            del logits
            if trains:
                scores.sum().backward()

    said = ARITHMETIC[precision].logits if trains else ARITHMETIC[precision].scored
    # Beside them there are the head's own gradient and cast, of a width of 16.
    assert 0.8 * said <= peak_of(run) / (tokens * vocabulary) <= said + 6 * 16 / tokens


@pytest.mark.parametrize("precision", ARITHMETIC)
@pytest.mark.parametrize("family", CONFIGS)
def test_reading_texts_takes_no_more_than_the_memory_model_says(family: str, precision: Precision):
    model = AutoModelForCausalLM.from_config(
        without_dropout(CONFIGS[family](3)), attn_implementation="sdpa"
    ).eval()
    fuse_gelu(model)
    params = sum(weight.numel() for weight in model.parameters())
    shape = Shape.of(params, family, WIDTH, 3, 512, precision)
    ids = torch.zeros(2, LENGTH, dtype=torch.long)

    def run() -> None:
        with torch.inference_mode(), autocast(precision):
            model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)

    need = memory.scoring(shape, 1, LENGTH, logits=False)
    assert 0.5 * need.activations <= peak_of(run) <= need.total - need.weights


def test_float32_takes_no_casts_wider_activations_and_fewer_logits():
    low, full = (
        memory.training(Shape.of(10**9, "opt", precision=precision), Layout(1, 8), 512)
        for precision in ARITHMETIC
    )
    assert (low.weights, low.gradients, low.optimizer) == (
        *(full.weights, full.gradients),
        full.optimizer,
    )
    assert (low.casts, full.casts) == (2e9, 0)
    assert full.activations / low.activations == pytest.approx(49 / 33)
    assert full.logits / low.logits == pytest.approx(12 / 14)
    # LoRA's frozen matrices stay what they are stored in.
    low, full = (
        Shape.of(10**9, "opt", precision=precision).with_adapters(16, None).frozen
        for precision in ARITHMETIC
    )
    assert full == pytest.approx(4e9, rel=0.02)
    assert full - low == pytest.approx(2e9, rel=0.15)


def with_precision(precision: str, **more: Any) -> Config:
    return loaded(PAPER | {"compat": {"precision": precision}} | more)


def test_what_is_planned_in_float32_fits_in_float32():
    config = with_precision("reference")
    for model in config.models:
        asked = hardware.request(config, model, tokens=1)
        layout = Layout(
            *(asked.gpu, asked.micro_batch, asked.zero, asked.offload, asked.checkpointing)
        )
        shape = shape_of(config, model)
        assert shape.precision == "float32"
        gpu_bytes = config.hardware[asked.gpu_model].memory_gb * GB
        assert memory.fits(shape, layout, config.training.max_length, gpu_bytes), model
    low, full = (
        hardware.request(with_precision(of), "gpt2-xl", tokens=1).micro_batch
        for of in ("fixed", "reference")
    )
    assert (low, full) == (4, 2)


@pytest.mark.parametrize(
    ("peak", "ratio"), [({"fp32_tflops": 37.4}, 150 / 37.4), ({"fp32_tflops": None}, 16), ({}, 16)]
)
def test_time_in_float32_is_by_the_float32_peak(peak: dict[str, float | None], ratio: float):
    gpus = {"a40": {"memory_gb": 48, "bf16_tflops": 150, "per_node": 4, **peak}}
    low, full = (with_precision(of, hardware=gpus) for of in ("fixed", "reference"))
    for path in (f"{FOLDER}/train.json", f"{FOLDER}/predictions.parquet"):
        in_low, in_full = (work.Costs(config).of(path) for config in (low, full))
        assert in_low is not None
        assert in_full is not None
        assert in_full.seconds / in_low.seconds == pytest.approx(ratio)
        assert in_full.minutes == hardware.minutes(full, in_full.seconds)
    for config, precision in ((low, "bfloat16"), (full, "float32")):
        found = plan.planned(config, {f"{FOLDER}/train.json": True})
        assert f"30% of each GPU's {precision} peak" in "\n".join(plan.notes(config, found))


@pytest.mark.parametrize(
    ("precision", "kinds", "said"),
    [
        ("reference", ("pretraining", "sft"), "float32 peak, in pretraining its bfloat16 peak,"),
        ("reference", ("pretraining",), "bfloat16 peak,"),
        ("reference", ("sft",), "float32 peak,"),
        ("fixed", ("pretraining", "sft"), "bfloat16 peak,"),
    ],
)
def test_plan_names_the_peaks_that_it_reckons_with(
    precision: str, kinds: tuple[str, ...], said: str
):
    files = [ROOT / "config.yaml", ROOT / "profiles/demo/experiment.yaml"]
    more = Layer("authors.yaml", {"compat": {"precision": precision}})
    config = experiment.load([*read_layers(files, {}), more])
    folders = {
        "pretraining": "pretraining/small",
        "sft": f"sft/{next(iter(config.targets))}/small/seed0",
    }
    found = plan.planned(config, {f"results/{folders[kind]}/train.json": True for kind in kinds})
    assert f"30% of each GPU's {said} until" in "\n".join(plan.notes(config, found))


def test_pretraining_is_in_bfloat16_and_of_all_weights_whatever_trainings_are():
    files = [ROOT / "config.yaml", ROOT / "profiles/demo/experiment.yaml"]
    adapted = Layer("more.yaml", {"models": {"small": {"lora": {}}}})
    authors = Layer("authors.yaml", {"compat": {"precision": "reference"}})
    before, after = (
        experiment.load([*read_layers(files, {}), *layers]) for layers in ([], [adapted, authors])
    )
    path = "results/pretraining/small/train.json"
    assert work.Costs(after).of(path) == work.Costs(before).of(path)
    assert shape_of(after, "small", "pretraining") == shape_of(before, "small")
    assert shape_of(after, "small").adapters > 0
    assert shape_of(after, "small").precision == "float32"
