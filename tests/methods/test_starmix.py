"""StarMix's mask against the authors' way of making it: a grid of coordinates, rolled and cropped."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from msda_train.core.errors import UserError
from msda_train.methods.starmix import StarMix


def _gaussian(side, shift, sigma):
    """Where each place of a grid twice as large went, shifted by so much; how far it is from the middle."""
    found = np.zeros((side, side))
    for row in range(side):
        for column in range(side):
            place = [(p + side // 2 - shift) % (2 * side) for p in (row, column)]
            apart = sum((p - (2 * side - 1) / 2) ** 2 for p in place)
            found[row, column] = np.exp(-apart / (2 * sigma**2))
    return found


def _star(lam, side):
    whole = _gaussian(side, side, lam * side) + _gaussian(side, side, (1 - lam) * side)
    whole += _gaussian(side, 2 * side, lam * side)
    return lam / (1 + np.exp(-whole / 3))


@pytest.mark.parametrize("lam", [0.3, 0.42, 0.5, 0.7])
@pytest.mark.parametrize("patch", [1, 4])
def test_equals_the_slow_loop(batch, draws, lam, patch):
    x, y = batch
    mix = StarMix(patch=patch).plan(x, y, None, draws(beta=lam))
    cells = torch.from_numpy(_star(lam, 32 // patch)).float()
    mask = torch.stack([cells[r // patch, c // patch] for r in range(32) for c in range(32)]).view(32, 32)
    torch.testing.assert_close(mix.mask[0, 0], mask)
    torch.testing.assert_close(mix.lam[0], mask.mean())
    for i in range(8):
        j = mix.perm[i]
        torch.testing.assert_close(mix.pixels(x)[i], mask * x[i] + (1 - mask) * x[j])
        label = mask.mean() * F.one_hot(y[i], 10) + (1 - mask.mean()) * F.one_hot(y[j], 10)
        torch.testing.assert_close(mix.target(y, 10)[i], label)


@pytest.mark.parametrize("lam", [0.01, 0.29, 0.71, 1.0])
def test_outside_it_is_mixup(batch, draws, lam):
    mix = StarMix().plan(*batch, None, draws(beta=lam))
    torch.testing.assert_close(mix.mask, torch.full((1, 1, 32, 32), lam))


def test_the_middle_and_the_corners_are_bright():
    """And the share of the image is lam times 1/2 to 3/4."""
    mask = StarMix().star(0.5, 32, 32)
    assert mask[16, 16] > mask[0, 16]
    assert mask[0, 0] > mask[0, 16]
    assert 0.25 < mask.min() < mask.max() < 0.375
    np.testing.assert_allclose(mask, mask[::-1, ::-1])


def test_images_that_are_not_square():
    assert StarMix().star(0.5, 9, 14).shape == (9, 14)


def test_what_cannot_work_is_one_line(batch):
    with pytest.raises(UserError, match=r"method\.patch=5: does not divide images of 32x32"):
        StarMix(patch=5).plan(*batch, None, np.random.default_rng(0))
    for options in ({"between": [0.7, 0.3]}, {"patch": 0}):
        with pytest.raises(UserError, match=f"method.{next(iter(options))}"):
            StarMix(**options)
