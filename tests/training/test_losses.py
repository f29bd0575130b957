"""The losses against float64 NumPy written from the formulas of docs/method.md."""

import math

import numpy as np
import pytest
import torch

from workflow_scripts.data.pairs import Pairs
from workflow_scripts.methods import losses
from workflow_scripts.methods.conflicts.explicit import Explicit
from workflow_scripts.methods.conflicts.mixture import Implicit

BETA, GAMMA = 2.0, 1.0


def log_sigmoid(x):
    return -np.logaddexp(0.0, -x)


def side(label):
    return np.where(label > 0.5, 1.0, -1.0)


LOSSES = {
    "reward_model": (
        losses.reward_model,
        lambda z, p: -p * log_sigmoid(z) - (1 - p) * log_sigmoid(-z),
    ),
    "simpo": (
        lambda z, p: losses.simpo(z, p, beta=BETA, gamma=GAMMA),
        lambda z, p: -log_sigmoid(BETA * side(p) * z - GAMMA),
    ),
    "dpo": (
        lambda z, p: losses.dpo(z, p, beta=0.1),
        lambda z, p: -log_sigmoid(0.1 * side(p) * z),
    ),
}


@pytest.fixture
def margins():
    generator = np.random.default_rng(0)
    long_tails = generator.standard_cauchy(200) * 50
    return np.concatenate([generator.normal(size=200), long_tails, [0, 1e4, -1e4, 1e-4, -1e-4]])


@pytest.fixture
def labels(margins):
    generator = np.random.default_rng(1)
    soft = generator.uniform(size=len(margins))
    return np.where(generator.uniform(size=len(margins)) < 0.3, np.round(soft), soft)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_each_loss_is_its_formula(name, dtype, tolerance, margins, labels):
    loss, formula = LOSSES[name]
    got = loss(torch.tensor(margins, dtype=dtype), torch.tensor(labels))
    assert got.dtype == dtype
    np.testing.assert_allclose(got, formula(margins, labels), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("conflict", ["none", "explicit"])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_losses_and_gradients_of_huge_margins_are_finite(name, dtype, conflict):
    z = torch.tensor([1e4, -1e4, 1e4, -1e4], dtype=dtype, requires_grad=True)
    label = torch.tensor([1.0, 1.0, 0.0, 0.0])
    loss = LOSSES[name][0](z, label)
    if conflict == "explicit":
        loss = explicit(LOSSES[name][0], z, label)
    loss.sum().backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss).all()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()
    assert loss.tolist()[1] == pytest.approx(loss.tolist()[2])
    assert loss.tolist()[1] > 900  # beta * 1e4 at the least: nothing was clipped away


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences(name):
    generator = torch.Generator().manual_seed(0)
    z = (3 * torch.randn(12, dtype=torch.float64, generator=generator)).requires_grad_()
    label = torch.rand(12, dtype=torch.float64, generator=generator)
    loss = LOSSES[name][0]
    assert torch.autograd.gradcheck(lambda z: loss(z, label), [z])
    assert torch.autograd.gradcheck(lambda z: explicit(loss, z, label), [z])


def explicit(loss, z, label):
    return Explicit(alpha=0.5).loss(z, label, loss, trigger=z)


@pytest.mark.parametrize("name", LOSSES)
def test_explicit_conflict_pays_for_margins_against_the_truth_and_no_others(name):
    loss, formula = LOSSES[name]
    z = np.array([-2.0, -1e-3, 0.0, 1e-3, 2.0])
    weak = np.array([1.0, 0.0, 1.0, 0.0, 1.0])
    paid = formula(z, np.zeros(5)) * [1, 1, 0, 0, 0]
    got = explicit(loss, torch.tensor(z), torch.tensor(weak))
    np.testing.assert_allclose(got, formula(z, weak) + 0.5 * paid, rtol=1e-12)
    # The mean is over the whole batch, whatever number of pairs was paid.
    assert got.mean() == pytest.approx((formula(z, weak).sum() + 0.5 * paid.sum()) / 5)


@pytest.mark.parametrize("name", LOSSES)
def test_explicit_conflict_is_its_formula_on_long_tails(name, margins, labels):
    loss, formula = LOSSES[name]
    paid = np.where(margins < 0, formula(margins, np.zeros_like(labels)), 0)
    got = explicit(loss, torch.tensor(margins), torch.tensor(labels))
    np.testing.assert_allclose(got, formula(margins, labels) + 0.5 * paid, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_implicit_conflict_is_the_mean_over_weakly_and_truly_labelled_pairs(name, margins, labels):
    """The helpful pairs, by their true labels, count as much as the weakly labelled ones."""
    loss, formula = LOSSES[name]
    texts = ["a"] * 405
    weak = Pairs([f"weak{i}" for i in range(405)], texts, texts, texts, labels)
    helpful = Pairs([f"helpful{i}" for i in range(405)], texts, texts, texts, np.ones(405))
    mixed = Implicit().data(weak, helpful)
    margin_of = dict(zip(weak.ids + helpful.ids, [*margins, *margins[::-1]], strict=True))
    z = torch.tensor([margin_of[id_] for id_ in mixed.ids])
    got = Implicit().loss(z, torch.tensor(mixed.labels), loss, trigger=z).mean()
    expected = (formula(margins, labels).mean() + formula(margins, np.ones(405)).mean()) / 2
    assert got == pytest.approx(expected, rel=1e-12)


def test_known_values():
    zero, one = torch.zeros(1), torch.ones(1)
    assert losses.dpo(zero, one, beta=0.1).item() == pytest.approx(math.log(2), abs=1e-7)
    assert losses.reward_model(zero, 0.3 * one).item() == pytest.approx(math.log(2), abs=1e-7)
    # 1 nat a token ahead: beta * 1 - gamma = 1.
    assert losses.simpo(one, one, beta=2.0, gamma=1.0).item() == pytest.approx(
        math.log(1 + math.exp(-1)), abs=1e-7
    )
    assert losses.sft(torch.tensor([-2.5])).item() == 2.5
