import numpy as np
import pytest
import torch
from torch import nn

from msda_train.core.errors import UserError
from msda_train.methods.manifold_mixup import ManifoldMixup
from msda_train.models.staged import Staged


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Staged(
        [nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3), nn.Sequential(nn.Flatten(), nn.Linear(3600, 10))]
    )


def test_depths_are_drawn_uniformly(batch, model):
    x, y = batch
    depths = [ManifoldMixup().plan(x, y, model, np.random.default_rng(s)).depth for s in range(900)]
    assert np.bincount(depths, minlength=3) == pytest.approx([300, 300, 300], abs=45)  # three deviations
    only = [ManifoldMixup(depths=[2]).plan(x, y, model, np.random.default_rng(s)).depth for s in range(20)]
    assert set(only) == {2}


def test_alpha_two_draws_beta_two(batch):
    x, y = batch
    lam = [ManifoldMixup().plan(x, y, None, np.random.default_rng(s)).lam.item() for s in range(3000)]
    assert np.var(lam) == pytest.approx(1 / 20, rel=0.08)  # Beta(2, 2)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_mixing_inside_equals_doing_it_by_hand(batch, model, depth):
    x, y = batch
    mix = ManifoldMixup(depths=[depth]).plan(x, y, model, np.random.default_rng(1))
    h = x
    for k, stage in enumerate(model.stages):
        if k == depth:
            h = torch.stack([mix.lam[0] * h[i] + (1 - mix.lam[0]) * h[mix.perm[i]] for i in range(len(h))])
        h = stage(h)
    torch.testing.assert_close(model(x, mix), h)


def test_gradients_flow_below_the_mixing_depth(batch, model):
    x, y = batch
    mix = ManifoldMixup(depths=[2]).plan(x, y, model, np.random.default_rng(1))
    model(x, mix).sum().backward()
    assert model.stages[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_blocked_gradients_are_zero_below_and_what_they_were_above(batch, model, depth):
    """The pass itself is the same; a gradient of zero, not none, so that every optimizer treats it alike."""
    x, y = batch
    found = []
    for block in (False, True):
        method = ManifoldMixup(depths=[depth], block_gradients=block)
        model.zero_grad(set_to_none=True)
        logits = model(x, method.plan(x, y, model, np.random.default_rng(1)))
        logits.square().sum().backward()
        found.append((logits, [[p.grad.clone() for p in stage.parameters()] for stage in model.stages]))
    (plain, usual), (same, blocked) = found
    assert torch.equal(plain, same)
    for k, (one, other) in enumerate(zip(usual, blocked, strict=True)):
        for gradient, left in zip(one, other, strict=True):
            assert gradient.abs().sum() > 0
            assert torch.equal(left, gradient if k >= depth else torch.zeros_like(gradient))


def test_blocked_layers_keep_momentum_and_decay(batch, model):
    """A step by hand: v <- 0.9 v + 0 + decay w, w <- w - lr v."""
    x, y = batch
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    weight = model.stages[0].weight
    for block in (False, True):
        before, kept = weight.detach().clone(), optimizer.state[weight].get("momentum_buffer")
        kept = None if kept is None else kept.clone()
        optimizer.zero_grad(set_to_none=True)
        mix = ManifoldMixup(depths=[2], block_gradients=block).plan(x, y, model, np.random.default_rng(1))
        model(x, mix).square().mean().backward()
        optimizer.step()
    torch.testing.assert_close(weight, before - 0.1 * (0.9 * kept + 0.01 * before))


def test_block_gradients_is_a_switch():
    with pytest.raises(UserError, match=r"method.block_gradients=1: must be true or false"):
        ManifoldMixup(block_gradients=1)


def test_a_depth_the_model_lacks(model):
    ManifoldMixup().prepare(model, ())
    with pytest.raises(UserError, match=r"method.depths=\[0, 3\]: this model can mix at depths 0 to 2"):
        ManifoldMixup(depths=[0, 3]).prepare(model, ())
