"""Adversarial images in place of the clean ones."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.methods.pgd_training import PgdTraining


@pytest.fixture
def network():
    torch.manual_seed(0)
    cfg = compose("model=preactresnet18", "model.width=4", "model.blocks=[1,1]")
    return build("model", cfg.model, classes=10, channels=3)


def normalised(seed=0):
    draw = torch.Generator().manual_seed(seed)
    return (torch.rand(8, 3, 32, 32, generator=draw) - 0.4) / 0.25, torch.arange(8)


def method(**options):
    return PgdTraining(mean=(0.4, 0.4, 0.4), std=(0.25, 0.25, 0.25), **options)


def test_images_stay_in_the_ball_and_in_range_and_hurt(network):
    x, y = normalised()
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    moved = method().plan(x, y, network, np.random.default_rng(0)).apply(x)
    pixels, attacked = x * 0.25 + 0.4, moved * 0.25 + 0.4
    assert (attacked - pixels).abs().max() <= 8 / 255 + 1e-5
    assert attacked.min() >= -1e-6
    assert attacked.max() <= 1 + 1e-6
    assert network.training
    assert all(torch.equal(value, buffers[name]) for name, value in network.named_buffers())
    assert all(p.grad is None for p in network.parameters())
    network.eval()
    with torch.no_grad():
        assert F.cross_entropy(network(moved), y) > F.cross_entropy(network(x), y) + 1e-3


def test_one_step_on_a_linear_network_by_hand():
    """The gradient of a linear network is the same everywhere, so steps go to the ball's corner."""
    x, y = normalised()
    linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 2))
    y = y % 2
    moved = (
        method(steps=20, eps_255=2.0, step_size_255=1.0).plan(x, y, linear, np.random.default_rng(1)).apply(x)
    )
    w = (linear[1].weight[1 - y] - linear[1].weight[y]).view_as(x)
    expected = ((x * 0.25 + 0.4) + 2 / 255 * w.sign()).clamp(0, 1)
    torch.testing.assert_close(moved * 0.25 + 0.4, expected, atol=1e-5, rtol=0)


def test_labels_stay(network):
    x, y = normalised()
    mix = method().plan(x, y, network, np.random.default_rng(0))
    assert torch.equal(mix.target(y, 10), F.one_hot(y, 10).float())


@pytest.mark.parametrize("option", ["eps_255=0", "eps_255=300", "steps=0", "step_size_255=-1", "prob=2"])
def test_bad_options_are_named(option):
    with pytest.raises(UserError, match=f"method.{option.split('=')[0]}"):
        build("method", compose("method=pgd_training", f"method.{option}").method)
