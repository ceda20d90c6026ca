import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from msda_train.core.errors import UserError
from msda_train.methods.comixup.batch import Settings, choose_grids, label_shares
from msda_train.methods.comixup.method import CoMixup


@pytest.fixture
def model():
    """Convolution, BatchNorm, ten classes; in training mode."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(24, 10))


def test_contract(batch, model):
    x, y = batch
    kept = x.clone()
    for seed in range(5):
        mix = CoMixup(partition=5).plan(x, y, model, np.random.default_rng(seed))
        assert mix.shares.shape == (8, 8)
        assert mix.shares.dtype == torch.float32
        assert mix.shares.min() >= 0
        assert mix.shares.max() <= 1
        assert torch.equal(mix.shares.sum(dim=1), torch.ones(8))
        assert torch.equal(mix.lam, mix.shares.diagonal())
        assert not mix.shares[:5, 5:].any()
        assert model.training
    assert torch.equal(x, kept)
    assert not x.requires_grad


def test_pixels_and_labels_tell_the_same_story(batch, model):
    """Constant images and one class each: the mean of a mixed image is its target times the constants."""
    level = torch.linspace(1.0, 8.0, 8)
    x, y = level.view(8, 1, 1, 1).expand(8, 3, 32, 32).contiguous(), torch.arange(8)
    mix = CoMixup(halves=True).plan(x, y, model, np.random.default_rng(0))
    mixed, target = mix.apply(x), mix.target(y, 10)
    assert mixed.dtype == x.dtype
    torch.testing.assert_close(mixed.mean(dim=(1, 2, 3)), target[:, :8] @ level)
    torch.testing.assert_close(target.sum(dim=1), torch.ones(8))
    assert (target[:, :8] == mix.shares).all()


def test_pure_blocks_are_copies(batch, model):
    x, y = batch
    mixed = CoMixup(halves=False).plan(x, y, model, np.random.default_rng(0)).apply(x)
    for i in range(8):
        for row in range(0, 32, 8):
            for column in range(0, 32, 8):
                block = mixed[i, :, row : row + 8, column : column + 8]
                assert any(torch.equal(block, x[j, :, row : row + 8, column : column + 8]) for j in range(8))


@pytest.mark.parametrize("clean_lam", [0.0, 1.0])
def test_same_seed_same_plan(batch, model, clean_lam):
    x, y = batch
    method = CoMixup(clean_lam=clean_lam)
    state = torch.get_rng_state()
    plans = [method.plan(x, y, copy.deepcopy(model), np.random.default_rng(s)) for s in (3, 3, 4)]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(plans[0].apply(x), plans[1].apply(x))
    assert torch.equal(plans[0].shares, plans[1].shares)
    assert not torch.equal(plans[0].shares, plans[2].shares)


@pytest.mark.parametrize("clean_lam", [0.0, 0.5])
def test_blocks_follow_the_saliency_of_a_linear_model(batch, clean_lam):
    """d CE / dx = (softmax - onehot) W, and its root mean square over channels, by hand."""
    x, y = batch
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    weight, bias = linear[1].weight.detach(), linear[1].bias.detach()
    error = torch.softmax(x.flatten(1) @ weight.T + bias, dim=1) - F.one_hot(y, 10)
    saliency = ((error @ weight).view(8, 3, 32, 32) ** 2).mean(dim=1).sqrt()
    for seed in range(3):
        mix = CoMixup(clean_lam=clean_lam).plan(x, y, linear, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        rng.random()  # the coin
        assert torch.equal(
            mix.shares, torch.from_numpy(label_shares(choose_grids(Settings(), saliency, rng)))
        )


@pytest.mark.parametrize(("scale", "weight"), [("bce", 2 / 10), ("ce", 1.0)])
def test_the_clean_batch_trains_too(batch, model, scale, weight):
    x, y = batch
    other = copy.deepcopy(model)
    CoMixup(clean_lam=0.7, clean_scale=scale).plan(x, y, model, np.random.default_rng(0))
    (0.7 * weight * F.cross_entropy(other(x), y)).backward()
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    torch.testing.assert_close(model[1].running_mean, other[1].running_mean)
    assert model.training


def test_without_the_clean_loss_the_model_is_left_alone(batch, model):
    x, y = batch
    before = copy.deepcopy(model.state_dict())
    CoMixup(clean_lam=0.0).plan(x, y, model, np.random.default_rng(0))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert model.training


def test_plans_under_autocast(batch, model):
    x, y = batch
    with torch.autocast("cpu", torch.bfloat16):
        mix = CoMixup().plan(x, y, model, np.random.default_rng(0))
        assert mix.apply(x).dtype == torch.float32
        assert mix.target(y, 10).dtype == torch.float32
    assert torch.equal(mix.shares.sum(dim=1), torch.ones(8))


def test_an_unmixed_step_is_a_plain_step(batch, model):
    x, y = batch
    mix = CoMixup(prob=0.0).plan(x, y, model, np.random.default_rng(0))
    assert mix.depth < 0
    assert all(p.grad is None for p in model.parameters())


def test_a_dead_gradient_still_makes_a_plan(batch):
    class Blind(nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(10))

        def forward(self, x):
            return self.bias + 0 * x.flatten(1)[:, :10]

    x, y = batch
    mix = CoMixup().plan(x, y, Blind(), np.random.default_rng(0))
    assert torch.equal(mix.shares.sum(dim=1), torch.ones(8))


@pytest.mark.parametrize("option", ["prob=2", "clean_lam=-1", "clean_scale=mse", "blocks=5", "beta=-1"])
def test_bad_options_are_named(batch, model, option):
    name, value = option.split("=")
    with pytest.raises(UserError, match=f"method.{name}={value}"):
        method = CoMixup(**{name: value if name == "clean_scale" else int(value)})
        method.plan(*batch, model, np.random.default_rng(0))
