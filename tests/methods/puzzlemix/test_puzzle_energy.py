import math
from itertools import product

import numpy as np
import pytest
import torch

from msda_train.methods.puzzlemix.energy import Weights, energy, grid_share, prior, puzzle_terms

STD = torch.tensor([0.25, 0.2, 0.3])


@pytest.fixture
def images():
    """Four 3 x 8 x 8 images of pixels in [0, 1], normalised, their saliency and partners."""
    draw = torch.Generator().manual_seed(0)
    pixels = torch.rand(4, 3, 8, 8, generator=draw, dtype=torch.float64)
    saliency = torch.rand(4, 8, 8, generator=draw, dtype=torch.float64)
    return pixels, (pixels - 0.4) / STD.view(1, 3, 1, 1), saliency, torch.tensor([2, 0, 3, 1])


def border_step(above, below, cell, neigh, border):
    """Mean colour step at one cell's lower border, from above's last pixels of the cell to below's first
    after it. above, below (3, 8, 8); border (row, column) of the upper cell; sides averaged over neigh.
    """
    row, column = border
    total = 0.0
    for part in range(cell // neigh):
        left = column * cell + part * neigh
        up = above[:, (row + 1) * cell - neigh : (row + 1) * cell, left : left + neigh]
        low = below[:, (row + 1) * cell : (row + 1) * cell + neigh, left : left + neigh]
        total += sum(abs(up[c].mean().item() - low[c].mean().item()) for c in range(3)) / 3
    return total / (cell // neigh)


def slow_energy(pixels, saliency, perm, i, lam, labels, options):
    """Of sample i, unfolded: what a pair of cells costs is looked up for own and other, and interpolated."""
    n, levels = len(labels), options.levels
    cell = 8 // n
    neigh = min(options.neigh_size, cell)
    images = [pixels[perm[i]], pixels[i]]
    shares = [(m := saliency[k].view(n, cell, n, cell).mean((1, 3)), m / m.sum())[1] for k in (perm[i], i)]
    total, smooth = 0.0, options.beta / n / 16
    for row in range(n):
        for column in range(n):
            t = labels[row][column] / (levels - 1)
            total += t * shares[1][row, column].item() + (1 - t) * shares[0][row, column].item()
            chance = math.comb(levels - 1, labels[row][column]) * lam ** (levels - 1 - labels[row][column])
            chance *= (1 - lam) ** labels[row][column]
            total -= options.eta / n**2 * math.log(chance + 1e-8)
    for flip in (False, True):
        pair = [im.transpose(1, 2) if flip else im for im in images]
        grid = [list(r) for r in zip(*labels, strict=True)] if flip else labels
        for row in range(n - 1):
            for column in range(n):
                s, t = grid[row][column] / (levels - 1), grid[row + 1][column] / (levels - 1)
                step = [
                    [smooth * options.gamma * border_step(a, b, cell, neigh, (row, column)) for b in pair]
                    for a in pair
                ]
                half = (step[1][0] + step[0][1] - step[1][1] - step[0][0]) / 2
                up = [(step[1][0] + step[1][1]) / 2, (step[0][1] + step[0][0]) / 2]
                low = [(step[0][1] + step[1][1]) / 2, (step[1][0] + step[0][0]) / 2]
                total += (1 - s) * up[0] + s * up[1] + (1 - t) * low[0] + t * low[1]
                total += (half + smooth) * (s - t) ** 2
    return total


@pytest.mark.parametrize(("n", "neigh", "levels"), [(2, 4, 3), (2, 2, 3), (4, 4, 3), (4, 1, 2), (8, 4, 4)])
def test_energy_is_that_of_a_slow_loop(images, n, neigh, levels):
    pixels, x, saliency, perm = images
    options = Weights(levels=levels, neigh_size=neigh, gamma=0.8)
    terms = puzzle_terms(
        grid_share(saliency, n), x, STD.view(1, 3, 1, 1).double(), perm, np.array([0.3]), options
    )
    assert terms.unary.shape == (4, levels, n, n)
    assert terms.down.shape == (4, n - 1, n)
    assert terms.right.shape == (4, n, n - 1)
    labels = torch.randint(0, levels, (4, n, n), generator=torch.Generator().manual_seed(n))
    found = energy(terms, labels)
    for i in range(4):
        wanted = slow_energy(pixels, saliency, perm, i, 0.3, labels[i].tolist(), options)
        assert found[i].item() == pytest.approx(wanted, rel=1e-6)


def test_two_labels_pay_exactly_the_colour_steps_of_what_they_show(images):
    """The folding: up to a constant, a border between own and other costs the step between those two."""
    _, x, saliency, perm = images
    std = STD.view(1, 3, 1, 1).double()
    share = grid_share(saliency, 2)
    plain, stepped = (
        puzzle_terms(share, x, std, perm, np.array([0.5]), Weights(levels=2, gamma=gamma, eta=0.0))
        for gamma in (0.0, 1.0)
    )
    scaled = x * std
    excess = []
    for labels in product((0, 1), repeat=4):
        grid = torch.tensor(labels).view(2, 2)
        extra = (energy(stepped, grid.expand(4, 2, 2)) - energy(plain, grid.expand(4, 2, 2)))[0].item()
        shown = [scaled[0], scaled[perm[0]]]
        for k in (0, 1):
            above, below = (shown[grid[row, k]] for row in (0, 1))
            extra -= 1.2 / 32 * border_step(above, below, 4, 4, (0, k))
            before, after = (shown[grid[k, column]].transpose(1, 2) for column in (0, 1))
            extra -= 1.2 / 32 * border_step(before, after, 4, 4, (0, k))
        excess.append(extra)
    assert excess == pytest.approx([excess[0]] * 16, abs=1e-12)


def test_weights_are_never_negative(images):
    """A border may be cheaper where the images differ, but by at most gamma: here it is."""
    _, _, saliency, perm = images
    pixels = torch.zeros(4, 3, 8, 8, dtype=torch.float64)
    pixels[1::2, :, 4:] = 1  # own: black over black; other: black over white, and the other way round
    pixels[::2, :, :4] = 1
    x = pixels / 0.2
    terms = puzzle_terms(
        grid_share(saliency, 2), x, torch.full((1, 3, 1, 1), 0.2), perm, np.array([0.5]), Weights(gamma=0.5)
    )
    assert terms.down.min() == pytest.approx(0.5 * 1.2 / 32)
    assert terms.right.min() >= 0.5 * 1.2 / 32 - 1e-9


def test_prior_by_hand():
    found = prior(np.array([0.3, 0.0]), 3)
    assert found[0] == pytest.approx(-np.log(np.array([0.09, 0.42, 0.49]) + 1e-8))
    assert found[1] == pytest.approx([-math.log(1e-8), -math.log(1e-8), 0], abs=1e-7)


def test_an_image_without_saliency_has_equal_shares():
    saliency = torch.zeros(2, 8, 8)
    saliency[1, 0, 0] = 1e-30
    share = grid_share(saliency, 4)
    assert torch.equal(share[0], torch.full((4, 4), 1 / 16))
    assert share[1, 0, 0] == 1


def test_shares_may_come_from_a_finer_grid(images):
    _, _, saliency, _ = images
    fine = grid_share(saliency, 4)
    torch.testing.assert_close(grid_share(fine, 2), grid_share(saliency, 2))
    torch.testing.assert_close(grid_share(fine, 4), fine)


def test_what_is_handed_in_stays(images):
    """A batch of one, and colours not averaged: where a copy could be saved."""
    _, x, saliency, _ = images
    x, share = x[:1].contiguous(), grid_share(saliency[:1], 4)
    before = x.clone(), share.clone()
    options = Weights(neigh_size=1)
    puzzle_terms(share, x, STD.view(1, 3, 1, 1).double(), torch.tensor([0]), np.array([0.3]), options)
    assert torch.equal(x, before[0])
    assert torch.equal(share, before[1])
