"""SnapMix by a slow loop of our own, and its label weights where the maps are known."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from msda_train.core.errors import UserError
from msda_train.core.randomness import draw_lam
from msda_train.functional.masks import centred_box, draw_centre
from msda_train.methods.snapmix import SnapMix
from msda_train.models.staged import GlobalMean, Staged


@pytest.fixture(scope="module")
def model():
    """Maps of class k are channel k of the image, as they are."""
    network = Staged([nn.Identity(), nn.Sequential(GlobalMean(), nn.Linear(3, 3))])
    with torch.no_grad():
        network.stages[1][1].weight.copy_(torch.eye(3)), network.stages[1][1].bias.zero_()
    return network


@pytest.fixture(scope="module")
def batch():
    rng = torch.Generator().manual_seed(0)
    return torch.rand(6, 3, 16, 12, generator=rng), torch.tensor([0, 1, 2, 0, 1, 2])


def slow(method, x, y, seed):
    """The authors' order of draws is not ours; ours are drawn again here. Everything else pixel by pixel."""
    rng = np.random.default_rng(seed)
    rng.random()
    lam = draw_lam(rng, method.alpha, 1)
    perm = rng.permutation(len(x))
    sizes = np.concatenate([lam, draw_lam(rng, method.alpha, 1)])
    edges = centred_box(sizes, draw_centre(rng, 2, 16, 12), 16, 12)
    (t, b, le, r), (t2, b2, l2, r2) = edges.tolist()
    mixed, targets = x.clone(), torch.zeros(len(x), 3)
    if (b - t) * (r - le) * (b2 - t2) * (r2 - l2) == 0:
        return x, F.one_hot(y, 3).float()
    for i, j in enumerate(perm):
        piece = x[j : j + 1, :, t2:b2, l2:r2]
        mixed[i, :, t:b, le:r] = F.interpolate(piece, (b - t, r - le), mode="bilinear", align_corners=True)[0]
        own, other = (x[k, y[k]] - x[k, y[k]].min() for k in (i, j))
        a = 1 - own[t:b, le:r].sum() / own.sum()
        c = other[t2:b2, l2:r2].sum() / other.sum()
        if y[i] == y[j] and method.same_class == "doubled":
            a, c = a + c, a + c
        targets[i, y[i]] += a
        targets[i, y[j]] += c
    return mixed, targets


@pytest.mark.parametrize("same_class", ["doubled", "added"])
@pytest.mark.parametrize("seed", range(12))
def test_against_a_slow_loop(model, batch, same_class, seed):
    x, y = batch
    method = SnapMix(same_class=same_class)
    mix = method.plan(x, y, model, np.random.default_rng(seed))
    mixed, target = slow(method, x, y, seed)
    torch.testing.assert_close(mix.pixels(x), mixed)
    torch.testing.assert_close(mix.target(y, 3), target, rtol=1e-4, atol=1e-5)


def test_an_empty_map_counts_areas(model):
    x, y = torch.zeros(2, 3, 16, 12), torch.tensor([0, 1])
    for seed in range(20):
        mix = SnapMix().plan(x, y, model, np.random.default_rng(seed))
        if mix.depth == 0 and mix.perm[0] == 1:
            area = mix.mask.mean()
            torch.testing.assert_close(mix.target(y, 3)[0], torch.tensor([area, 1 - area, 0]))
            return
    raise AssertionError("no plan mixed the two")


def test_the_maps_are_no_part_of_training(model, batch):
    SnapMix().plan(*batch, model, np.random.default_rng(1))
    assert all(weight.grad is None for weight in model.parameters())
    with pytest.raises(UserError, match=r"method\.same_class"):
        SnapMix(same_class="twice")
    with pytest.raises(UserError, match=r"method\.lam_per"):
        SnapMix(lam_per="sample")
