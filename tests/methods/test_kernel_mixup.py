"""Similarity Kernel Mixup against a loop over pairs with scipy's distribution; whose features it takes."""

import json
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.methods.kernel_mixup import KernelMixup, last_features


@pytest.fixture
def alike(batch):
    """Images at distances of a few per cent to many times the mean's: one blurs into the other."""
    x, y = batch
    return torch.stack([x[0] * (1 + 0.2 * i) + 0.03 * i * x[i] for i in range(8)]) / 60, y


@pytest.mark.parametrize("warping", ["quantile", "cdf"])
@pytest.mark.parametrize("centre", ["mean", "one"])
@pytest.mark.parametrize("lam_per", ["batch", "sample"])
def test_equals_the_slow_loop(alike, warping, centre, lam_per):
    x, y = alike
    method = KernelMixup(
        distance="pixels", warping=warping, centre=centre, lam_per=lam_per, tau_max=1.3, tau_std=0.8
    )
    for seed in range(4):
        mix = method.plan(x, y, None, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        rng.random()
        lam = rng.beta(1, 1, 8 if lam_per == "sample" else 1)
        apart = [((x[i].double() - x[mix.perm[i]].double()) ** 2).sum().item() for i in range(8)]
        mean = sum(apart) / 8
        for i in range(8):
            start = lam[i % len(lam)]
            away = apart[i] / mean - 1 if centre == "mean" else (apart[i] - 1) / mean
            tau = 1.3 * math.exp(-away / (2 * 0.8**2))
            if warping == "quantile":
                weight = stats.beta.ppf(start, tau, tau)
            else:
                weight = stats.beta.cdf(start, 1 / tau, 1 / tau)
            assert mix.lam[i].item() == pytest.approx(weight, abs=1e-5)
            pixels = weight * x[i] + (1 - weight) * x[mix.perm[i]]
            torch.testing.assert_close(mix.pixels(x)[i], pixels, atol=1e-5, rtol=0)
            label = weight * F.one_hot(y[i], 10) + (1 - weight) * F.one_hot(y[mix.perm[i]], 10)
            torch.testing.assert_close(mix.target(y, 10)[i], label.float(), atol=1e-5, rtol=0)


def test_by_hand():
    """At the mean distance lam stays as it is; far pairs are hardly mixed, equal images evenly."""
    method = KernelMixup(tau_std=0.5)
    weights = method.warped(np.array([0.3, 0.3, 0.3]), np.array([1.0, 1.0, 1.0]))
    np.testing.assert_allclose(weights, 0.3)
    far, near = method.warped(np.array([0.3, 0.3]), np.array([3.0, 0.0]))
    assert far < 0.02
    assert 0.4 < near < 0.5


def test_weights_of_a_pair_are_beta():
    """Of tau = e^2 / e^0.5 at half the mean distance, by the Kolmogorov-Smirnov distance."""
    rng, method = np.random.default_rng(0), KernelMixup(tau_std=0.5, tau_max=math.exp(0.5))
    drawn = method.warped(rng.random(4000), np.tile([0.5, 1.5], 2000))[::2]
    tau = math.exp(0.5 + 0.5 / (2 * 0.25))
    assert stats.kstest(drawn, stats.beta(tau, tau).cdf).pvalue > 0.01


@pytest.mark.parametrize("warping", ["quantile", "cdf"])
def test_at_the_ends(warping):
    """No warning, no NaN: images all equal, one pair very far, a kernel of almost no width."""
    for std in (1e-3, 0.25, 1e3):
        method = KernelMixup(warping=warping, tau_std=std)
        for apart in (np.zeros(3), np.array([0.0, 0.0, 1e9]), np.array([1e-30, 1.0, 2.0])):
            weights = method.warped(np.array([0.0, 0.3, 1.0]), apart)
            assert np.isfinite(weights).all()
            assert weights.min() >= 0
            assert weights.max() <= 1


@pytest.mark.parametrize(
    "words",
    [
        ("preactresnet18", "model.width=4", "model.blocks=[1,1]"),
        (
            "deit_s",
            "model.size=[32,32]",
            "model.patch=8",
            "model.width=8",
            "model.heads=2",
            "model.drop_path=0",
        ),
    ],
)
def test_features_are_the_classifiers_input(batch, words):
    torch.manual_seed(0)
    cfg = compose(f"model={words[0]}", *words[1:])
    network = build("model", cfg.model, classes=10, channels=3).train()
    linear = [module for module in network.modules() if isinstance(module, torch.nn.Linear)][-1]
    seen = last_features(network, batch[0])
    assert not seen.requires_grad
    torch.testing.assert_close(linear(seen), network(batch[0]))
    assert not linear._forward_pre_hooks


def test_without_a_classifier():
    with pytest.raises(UserError, match=r"type method\.distance=pixels"):
        last_features(torch.nn.Flatten(), torch.zeros(1, 1, 2, 2))


def test_it_learns(go):
    path = go("method=kernel_mixup", "recipe.epochs=4", "dataset.subset=null", "dataset.test_subset=null")
    errors = [epoch["error"] for epoch in json.loads(path.read_text())["history"]]
    assert errors[-1] < 0.6 < errors[0]


def test_what_cannot_work_is_one_line(go):
    for words, line in (
        ("method.tau_std=0", r"method\.tau_std=0"),
        ("method.tau_max=-1", r"method\.tau_max=-1"),
        ("method.warping=line", r"method\.warping=line"),
        ("method.centre=two", r"method\.centre=two"),
        ("method.distance=labels", r"method\.distance=labels"),
        ("devices=2", "devices=2: KernelMixup works on one device"),
    ):
        with pytest.raises(UserError, match=line) as caught:
            go("method=kernel_mixup", words)
        assert "\n" not in str(caught.value)
