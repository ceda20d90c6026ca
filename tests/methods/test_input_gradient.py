import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from msda_train.methods._input_gradient import channel_norm, input_gradient, noisy_pair

MEAN, STD = torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1), torch.tensor([0.25, 0.2, 0.3]).view(1, 3, 1, 1)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 16, 5)
    ).double()


@pytest.fixture
def tiny():
    draw = torch.Generator().manual_seed(1)
    return torch.randn(3, 3, 4, 4, generator=draw).double(), torch.tensor([0, 4, 2])


def buffers(net):
    return [b.clone() for b in net.buffers()]


def test_the_gradient_is_that_of_finite_differences(net, tiny):
    x, y = tiny
    gradient = input_gradient(x, y, net)
    net.eval()
    for place in [(0, 0, 0, 0), (1, 2, 3, 1), (2, 1, 2, 2)]:
        ends = []
        for h in (1e-4, -1e-4):
            moved = x.clone()
            moved[place] += h
            ends.append(F.cross_entropy(net(moved), y, reduction="sum").item())
        assert gradient[place].item() == pytest.approx(
            (ends[0] - ends[1]) / 2e-4, rel=1e-4
        )  # logits: float32


def test_without_a_clean_loss_the_model_does_not_notice(net, tiny):
    x, y = tiny
    before, kept = buffers(net), x.clone()
    gradient = input_gradient(x, y, net)
    assert net.training
    assert all(torch.equal(a, b) for a, b in zip(before, net.buffers(), strict=True))
    assert all(p.grad is None for p in net.parameters())
    assert torch.equal(x, kept)
    assert not x.requires_grad
    assert not gradient.requires_grad
    net.eval()
    input_gradient(x, y, net)
    assert not net.training


@pytest.mark.parametrize(("scale", "weight"), [("bce", 2 * 0.7 / 5), ("ce", 0.7)])
def test_the_clean_loss_adds_its_gradients(net, tiny, scale, weight):
    x, y = tiny
    before = buffers(net)
    wanted = torch.autograd.grad(weight * F.cross_entropy(net(x).float(), y), list(net.parameters()))
    for buffer, value in zip(net.buffers(), before, strict=True):
        buffer.copy_(value)
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    gradient = input_gradient(x, y, net, clean_lam=0.7, clean_scale=scale)
    for p, w in zip(net.parameters(), wanted, strict=True):
        torch.testing.assert_close(p.grad, 1 + w, rtol=1e-5, atol=1e-7)
    assert any(not torch.equal(a, b) for a, b in zip(before, net.buffers(), strict=True))
    assert gradient.shape == x.shape


def test_the_clean_loss_adds_to_the_steps_under_autocast():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 5))
    x, y = torch.randn(8, 3, 4, 4), torch.arange(8) % 5
    with torch.autocast("cpu", torch.bfloat16):
        input_gradient(x, y, net, clean_lam=1.0)
        clean = net[1].weight.grad.clone()
        loss = F.cross_entropy(net(x).float(), y)
    loss.backward()
    torch.testing.assert_close(net[1].weight.grad, clean * (1 + 5 / 2), rtol=0.05, atol=1e-3)


def test_channel_norm_is_a_root_mean_square_up_to_a_factor():
    g = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    slow = torch.tensor(
        [
            [[(sum(v.item() ** 2 for v in im[:, i, j]) / 3) ** 0.5 for j in range(4)] for i in range(4)]
            for im in g
        ]
    )
    slow = slow / slow.sum((1, 2), keepdim=True)
    for scale in (1.0, 1e-15, 1e15):
        s = channel_norm(g * scale)
        torch.testing.assert_close(s / s.sum((1, 2), keepdim=True), slow)
    assert torch.equal(channel_norm(torch.zeros_like(g)), torch.zeros(2, 4, 4))


def test_noise_stays_small_and_pixels_valid():
    draw = torch.Generator().manual_seed(2)
    pixels = torch.rand(4, 3, 8, 8, generator=draw).round(decimals=1)  # some exactly 0 and 1
    x, eps, seen = (pixels - MEAN) / STD, 10 / 255, []

    def gradient_at(images):
        seen.append(images)
        return torch.randn(images.shape, generator=draw)

    gradient, own, other = noisy_pair(
        x, gradient_at, np.array([True, False]), eps, MEAN, STD, np.random.default_rng(0)
    )
    assert other is x
    for noisy in (own, seen[0]):
        change = noisy * STD + MEAN - pixels
        assert 0.3 * eps < change.abs().max() <= eps + 1e-6
        assert (noisy * STD + MEAN).min() >= -1e-6
        assert (noisy * STD + MEAN).max() <= 1 + 1e-6
    inner = (pixels > 0.05) & (pixels < 0.95)  # the start is within eps, the step exceeds it: at the border
    change = ((own * STD + MEAN - pixels) * gradient.sign())[inner]
    size = np.random.default_rng(0)
    size.random(tuple(x.shape), dtype=np.float32)
    torch.testing.assert_close(change.max(), torch.tensor(eps * size.random(), dtype=torch.float32))
    assert change.min() > 0  # eps + 2 from a start of at least -eps


def test_no_coin_no_noise():
    x = torch.randn(2, 3, 4, 4)
    gradient, own, other = noisy_pair(x, lambda v: v * 2, np.array([False, False]), 1.0, MEAN, STD, None)
    assert own is x
    assert other is x
    assert torch.equal(gradient, x * 2)
