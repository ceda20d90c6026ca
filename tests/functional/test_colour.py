"""Colour jitter and lighting against the steps one by one, pixel by pixel, as the papers' code does them."""

import numpy as np
import torch

from msda_train.functional.colour import AXES, GREY, SPREAD, colour_maps, draw_colours, recoloured


def by_hand(image, factors, order, colour):
    """One image (3, H, W) in [0, 1]: towards black, the mean grey or the own grey; then a colour more."""
    grey = torch.tensor(GREY)[:, None, None]
    for kind in order:
        own = (image * grey).sum(dim=0, keepdim=True).expand_as(image)
        towards = (torch.zeros_like(image), own.mean() * torch.ones_like(image), own)[kind]
        image = image.lerp(towards, 1 - factors[kind])
    return image + torch.as_tensor(colour, dtype=torch.float32)[:, None, None]


def test_the_composed_map_is_what_the_steps_do():
    torch.manual_seed(0)
    drawn = draw_colours(np.random.default_rng(1), 30, 0.4, 0.1)
    x = torch.rand(30, 3, 6, 5)
    matrix, offset = colour_maps(torch.from_numpy(drawn), x.mean(dim=(2, 3)))
    made = torch.einsum("bij,bjhw->bihw", matrix, x) + offset[:, :, None, None]
    orders = set()
    for image, row, result in zip(x, drawn, made, strict=True):
        order = tuple(int(k) for k in np.argsort(row[3:6]))
        orders.add(order)
        torch.testing.assert_close(result, by_hand(image, row[:3], order, row[6:]), atol=1e-5, rtol=0)
    assert len(orders) == 6  # every order occurs
    assert made.min() < 0  # and nothing is cut off


def test_the_draws_have_the_stated_spread():
    drawn = draw_colours(np.random.default_rng(0), 20_000, 0.4, 0.1)
    assert drawn[:, :3].min() > 0.6
    assert drawn[:, :3].max() < 1.4
    np.testing.assert_allclose(drawn[:, :3].mean(axis=0), 1, atol=0.01)
    axes = np.array(AXES)
    expected = 0.01 * axes @ np.diag(np.square(SPREAD)) @ axes.T  # of lighting 0.1
    np.testing.assert_allclose(np.cov(drawn[:, 6:].T), expected, atol=2e-5)
    plain = draw_colours(np.random.default_rng(0), 4, 0.0, 0.0)
    np.testing.assert_array_equal(plain[:, :3], 1)
    np.testing.assert_array_equal(plain[:, 6:], 0)


def test_many_pixels_at_once_are_one_by_one():
    torch.manual_seed(0)
    matrix, offset = torch.randn(4, 3, 3), torch.randn(4, 3)
    for count in (1, 6, 35, 64):
        pixels = torch.rand(4, count, 3)
        expected = torch.einsum("bij,bnj->bni", matrix, pixels) + offset[:, None]
        torch.testing.assert_close(recoloured(pixels, matrix, offset), expected, atol=1e-5, rtol=0)
