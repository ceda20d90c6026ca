"""AlignMix: Sinkhorn against a loop in float64, aligned features against the definition."""

import numpy as np
import pytest
import torch

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.methods._alignment import AlignedMix, sinkhorn
from msda_train.methods.alignmix import AlignMix


def slow_sinkhorn(a, b, eps, rounds):
    """The authors' algorithm, in float64: duals of all pairs of a batch stop together."""
    cost = ((a[:, :, None] - b[:, None]) ** 2).sum(-1)
    u, v = np.zeros(cost.shape[:2]), np.zeros((len(b), b.shape[1]))
    for _ in range(rounds):
        before = u
        m = (u[:, :, None] + v[:, None] - cost) / eps
        u = eps * (np.log(1 / a.shape[1] + 1e-8) - np.logaddexp.reduce(m, axis=2)) + u
        m = (u[:, :, None] + v[:, None] - cost) / eps
        v = eps * (np.log(1 / b.shape[1] + 1e-8) - np.logaddexp.reduce(m, axis=1)) + v
        if np.abs(u - before).sum(-1).mean() < 0.1:
            break
    return np.exp((u[:, :, None] + v[:, None] - cost) / eps)


@pytest.mark.parametrize("rounds", [1, 3, 100])
def test_sinkhorn_is_the_loops(rounds):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 3, 6, 4)) * 0.5
    found = sinkhorn(torch.from_numpy(a).float(), torch.from_numpy(b).float(), 0.1, rounds)
    np.testing.assert_allclose(found.numpy(), slow_sinkhorn(a, b, 0.1, rounds), rtol=2e-3, atol=1e-6)


def test_features_that_are_permuted_are_found_again():
    h = torch.randn(2, 16, 3, 3)
    h[1] = h[0].flatten(1)[:, torch.randperm(9)].view(16, 3, 3)
    lam = torch.full((1,), 0.3)
    plan = {"eps": 0.1, "rounds": 100, "depth": 1}
    mix = AlignedMix(torch.tensor([1, 0]), lam, lam.view(1, 1, 1, 1), moved="partner", **plan)
    torch.testing.assert_close(mix.apply(h)[0], h[0], rtol=1e-3, atol=1e-3)  # the partner is the same, moved
    mix = AlignedMix(torch.tensor([1, 0]), lam, lam.view(1, 1, 1, 1), moved="own", **plan)
    torch.testing.assert_close(mix.apply(h)[0], h[1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("moved", ["own", "partner"])
def test_aligned_features_by_hand(moved):
    h = torch.randn(4, 5, 2, 3, requires_grad=True)
    perm, lam = torch.tensor([1, 2, 3, 0]), torch.tensor([0.25])
    made = AlignedMix(perm, lam, lam.view(1, 1, 1, 1), 1, moved=moved).apply(h)
    points = h.detach().flatten(2).transpose(1, 2)
    plans = 6 * sinkhorn(points, points[perm], 0.1, 100)  # the batch stops together
    for i, j in enumerate(perm):
        a, b = h[i].flatten(1), h[j].flatten(1)
        a, b = (a, b @ plans[i].T) if moved == "partner" else (a @ plans[i], b)
        torch.testing.assert_close(made[i].flatten(1), 0.25 * a + 0.75 * b, rtol=1e-4, atol=1e-4)
    made.sum().backward()
    assert h.grad.abs().sum() > 0


def test_pixels_or_the_last_features():
    torch.manual_seed(0)
    network = build("model", compose("model.width=4", "model.blocks=[1,1]").model, classes=3, channels=1)
    x, y = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])
    plans = [AlignMix().plan(x, y, network, np.random.default_rng(seed)) for seed in range(60)]
    assert {plan.depth for plan in plans} == {0, 2}
    deep = [plan for plan in plans if plan.depth]
    assert 15 < len(deep) < 45
    assert {plan.moved for plan in deep} == {"own", "partner"}
    assert {plan.key for plan in deep} == {(2, "own"), (2, "partner")}
    assert network(x, deep[0]).shape == (4, 3)
    with pytest.raises(UserError, match=r"method\.depth=7: this network has depths 1 to 2"):
        AlignMix(depth=7, input_prob=0).plan(x, y, network, np.random.default_rng(0))
