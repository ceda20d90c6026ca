import math

import numpy as np
import pytest
import torch

from msda_train.core.errors import UserError
from msda_train.methods.smoothmix import SmoothMix


def plan(x, seed=0, **options):
    y = torch.zeros(len(x), dtype=torch.int64)
    return SmoothMix(**options).plan(x, y, None, np.random.default_rng(seed))


def test_by_hand(draws):
    """2 x 2 pixels, sigma 1 pixel, centre half a pixel before (1, 1): all four corners are 1/2 away."""
    x, y = torch.randn(2, 1, 2, 2), torch.zeros(2, dtype=torch.int64)
    mix = SmoothMix(sigma=[0.5, 0.5]).plan(x, y, None, draws(centre=(1, 1)))
    own = 1 - math.exp(-0.25)
    torch.testing.assert_close(mix.mask, torch.full((1, 1, 2, 2), own))
    assert mix.lam.item() == pytest.approx(own, abs=1e-6)


@pytest.mark.parametrize("shape", [(4, 3, 32, 32), (3, 1, 8, 8), (3, 3, 12, 20)])
def test_equals_the_slow_loop(draws, shape):
    x, y = torch.randn(shape), torch.zeros(shape[0], dtype=torch.int64)
    mix = SmoothMix(sigma=[0.3, 0.3]).plan(x, y, None, draws(centre=(2, 7)))
    mixed, total = mix.apply(x), 0.0
    sigma = 0.3 * math.sqrt(shape[2] * shape[3])
    for row in range(shape[2]):
        for column in range(shape[3]):
            away2 = (row - 1.5) ** 2 + (column - 6.5) ** 2
            bump = math.exp(-away2 / (2 * sigma**2))
            total += bump
            slow = (1 - bump) * x[:, :, row, column] + bump * x[mix.perm, :, row, column]
            torch.testing.assert_close(mixed[:, :, row, column], slow, rtol=1e-4, atol=1e-5)
    assert mix.lam.item() == pytest.approx(1 - total / (shape[2] * shape[3]), abs=1e-5)


def test_openmixup_exchanges_the_weights(batch):
    x, _ = batch
    ours, theirs = plan(x), plan(x, label="swapped")
    assert torch.equal(ours.mask, theirs.mask)
    torch.testing.assert_close(theirs.lam, 1 - ours.lam)


def test_edges(batch):
    x, _ = batch
    narrow = plan(x, sigma=[1e-3, 1e-3])  # nothing is left half a pixel away
    assert torch.equal(narrow.apply(x), x)
    assert narrow.lam.item() == 1
    wide = plan(x, sigma=[1e4, 1e4])
    torch.testing.assert_close(wide.apply(x), x[wide.perm], atol=1e-5, rtol=0)
    assert wide.lam.item() == pytest.approx(0, abs=1e-6)


def test_moments():
    """E[lam] over uniform centres and widths, by numerical integration: the two axes are independent."""
    x = torch.zeros(6000, 1, 16, 16)
    lam = plan(x, lam_per="sample").lam
    away2 = (np.arange(16)[:, None] - (np.arange(16)[None, :] - 0.5)) ** 2  # pixel, centre
    line = [np.exp(-away2 / (2 * (16 * s) ** 2)).mean() for s in np.linspace(0.25, 0.5, 501)]
    assert lam.mean().item() == pytest.approx(1 - np.mean(np.square(line)), abs=0.006)


def test_alpha_plays_no_part(batch, draws):
    x, y = batch
    one, other = (SmoothMix().plan(x, y, None, draws(beta=b)) for b in (0.1, 0.9))
    assert torch.equal(one.mask, other.mask)


def test_one_bump_per_sample(batch):
    x, _ = batch
    assert plan(x).mask.shape == (1, 1, 32, 32)
    mix = plan(x, lam_per="sample")
    assert mix.mask.shape == (8, 1, 32, 32)
    assert len(set(mix.lam.tolist())) == 8


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"sigma": 0.5}, "sigma"),
        ({"sigma": [0.5, 0.25]}, "sigma"),
        ({"sigma": [0, 0.25]}, "sigma"),
        ({"sigma": [0.1, float("inf")]}, "sigma"),
        ({"sigma": [True, 2]}, "sigma"),
        ({"label": "openmixup"}, "label"),
    ],
)
def test_bad_options(options, named):
    with pytest.raises(UserError, match=f"method.{named}") as caught:
        SmoothMix(**options)
    assert "\n" not in str(caught.value)
