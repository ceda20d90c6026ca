from itertools import product

import numpy as np
import pytest
import torch

from msda_train.core.errors import UserError
from msda_train.methods.comixup.batch import (
    Settings,
    alikeness,
    block_cost,
    choose_grids,
    collage,
    label_shares,
    saliency_peaks,
)
from msda_train.methods.comixup.solver import image_counts


def uneven(batch, side=32):
    """Random saliency (batch, side, side), even within each of 4 x 4 blocks, most of it in a few of them."""
    share = np.random.default_rng(9).dirichlet(np.full(16, 0.4), batch).reshape(batch, 4, 4)
    return torch.from_numpy(share).float().repeat_interleave(side // 4, 1).repeat_interleave(side // 4, 2)


def test_cost_of_blocks_and_peaks_by_hand():
    saliency = torch.zeros(3, 16, 16)
    saliency[0, 4:12, 8:16] = 2.0  # one window, half in each of the right blocks
    saliency[1, 0, 0] = 5.0
    cost = block_cost(saliency, 2)
    assert cost[0].tolist() == [[0, -0.5], [0, -0.5]]
    assert cost[1].tolist() == [[-1, 0], [0, 0]]
    assert cost[2].tolist() == [[-0.25, -0.25], [-0.25, -0.25]]  # no saliency at all
    assert saliency_peaks(saliency).tolist() == [[4, 8], [0, 0], [0, 0]]


def test_alikeness_by_hand():
    alike = alikeness(np.array([[[0.0, 0], [3, 1]], [[2, 2], [2, 2]]]), 0.1)
    np.testing.assert_allclose(alike, [[[0.9, 0.1], [0.1, 0.9]], [[0.9, 0], [0, 0.9]]])


def test_a_smaller_last_part():
    settings, saliency = Settings(partition=5), uneven(12, 16)
    grids = choose_grids(settings, saliency, np.random.default_rng(0))
    assert grids.shape == (12, 4, 4, 2)
    part = np.arange(12) // 5
    assert (part[grids] == part[:, None, None, None]).all()
    assert (grids[..., 0] <= grids[..., 1]).all()
    again = choose_grids(settings, saliency, np.random.default_rng(0))
    np.testing.assert_array_equal(grids, again)
    assert (grids != choose_grids(settings, saliency, np.random.default_rng(1))).any()


@pytest.mark.parametrize("blocks", [1, 2, 4, 8])
def test_one_sample_is_itself(blocks):
    assert (choose_grids(Settings(blocks=blocks), uneven(1, 8), np.random.default_rng(0)) == 0).all()


def test_one_block_shows_one_image():
    grids = choose_grids(Settings(blocks=1, passes=1), uneven(7, 8), np.random.default_rng(0))
    assert (grids[..., 0] == grids[..., 1]).all()


def test_outputs_show_salient_blocks_of_several_images():
    """Each image has nine tenths of its saliency in one block: those are shown far more than by chance."""
    draw = np.random.default_rng(0)
    saliency, place = torch.full((40, 32, 32), 0.1 / 15), draw.integers(0, 4, (40, 2))
    for sample, (row, column) in enumerate(place):
        saliency[sample, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 0.9
    grids = choose_grids(Settings(partition=20), saliency, draw)
    shown = np.zeros((40, 4, 4))
    for row, column in product(range(4), range(4)):
        for side in (0, 1):
            np.add.at(shown[:, row, column], grids[:, row, column, side], 0.5)
    salient = shown[np.arange(40), place[:, 0], place[:, 1]].mean()
    assert salient > 2 * shown.mean()
    assert ((image_counts(grids, 40) > 0).sum(axis=1) >= 2).mean() > 0.9


@pytest.mark.parametrize("halves", [False, True])
def test_pixels_and_labels_of_grids(halves):
    rng = np.random.default_rng(7)
    grids = np.sort(rng.integers(0, 5, (5, 2, 2, 2)), axis=-1)
    grids = grids if halves else grids[..., :1].repeat(2, axis=-1)
    x = torch.randn(5, 3, 6, 4, generator=torch.Generator().manual_seed(0))
    mixed, shares = collage(x, torch.from_numpy(grids)), label_shares(grids)
    assert shares.dtype == np.float32
    counted = np.zeros((5, 5))
    for i, row, column in product(range(5), range(6), range(4)):
        one, two = grids[i, row // 3, column // 2]
        expected = (x[one, :, row, column] + x[two, :, row, column]) / 2
        assert torch.equal(mixed[i, :, row, column], expected)
        if one == two:
            assert torch.equal(mixed[i, :, row, column], x[one, :, row, column])
        counted[i, one] += 0.5 / 24
        counted[i, two] += 0.5 / 24
    np.testing.assert_allclose(shares, counted, atol=1e-6)


def test_pure_blocks_only():
    saliency = uneven(20)
    pure = choose_grids(Settings(halves=False), saliency, np.random.default_rng(0))
    assert (pure[..., 0] == pure[..., 1]).all()
    mixed = choose_grids(Settings(), saliency, np.random.default_rng(0))
    assert (mixed[..., 0] != mixed[..., 1]).any()


def test_blocks_must_divide_the_image():
    with pytest.raises(UserError, match=r"method\.blocks=3.*32 x 32"):
        choose_grids(Settings(blocks=3), uneven(4), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("alpha", 0),
        ("beta", -1),
        ("gamma", float("nan")),
        ("threshold", -0.1),
        ("eta", "x"),
        ("omega", 1.5),
        ("blocks", 0),
        ("blocks", 9),
        ("partition", 0),
        ("passes", 1.5),
        ("resolve", 1),
        ("halves", "no"),
    ],
)
def test_bad_settings_are_named(name, value):
    with pytest.raises(UserError, match=rf"method\.{name}="):
        Settings(**{name: value})
