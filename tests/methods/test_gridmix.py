import math

import numpy as np
import pytest
import torch

from msda_train.core.errors import UserError
from msda_train.methods.gridmix import GridMix


def plan(x, seed=0, **options):
    y = torch.zeros(len(x), dtype=torch.int64)
    return GridMix(**options).plan(x, y, None, np.random.default_rng(seed))


def slow_mask(rng, lam, height, width, overhang):
    """Own weights of one grid with the default options, hole by hole, pixel by pixel."""
    rng.random(1)  # the aspect of the holes is 1
    area, aspect = 0.5 + 0.5 * float(rng.random()), 0.5 + 1.5 * float(rng.random())
    across = int(math.sqrt(int(height * width * area) / aspect))
    down = int(across * aspect)
    cell = math.ceil(across / min(int(rng.integers(2, 7)), across // 2))
    hole = min(max(int(cell * math.sqrt(1 - lam)), 1), cell - 1)
    top, left = (int((side - extent) * rng.random()) for side, extent in ((height, down), (width, across)))
    mask = torch.ones(height, width)
    for i in range(math.ceil(across / cell)):
        for j in range(math.ceil(down / cell)):
            y1, x1 = top + j * cell, left + i * cell
            y2, x2 = min(y1 + hole, top + down), min(x1 + hole, left + across)
            if overhang == "wrap":
                mask[y1:y2, x1:x2] = 0
            else:
                for row in range(max(y1, 0), min(y2, height)):
                    for column in range(max(x1, 0), min(x2, width)):
                        mask[row, column] = 0
    return mask


def test_by_hand(draws):
    """Two holes across 8 pixels: cells of 4, holes of 4 * sqrt(1/4) = 2, a quarter of the area."""
    x, y = torch.randn(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64)
    method = GridMix(holes=[2, 2], crop_area=[1, 1], crop_aspect=[1, 1])
    mix = method.plan(x, y, None, np.random.default_rng(0))
    mix = method.mix(x, y, np.array([0.75]), mix.perm, None, np.random.default_rng(0))
    line = torch.tensor([1, 1, 0, 0, 1, 1, 0, 0.0])
    assert torch.equal(mix.mask[0, 0], 1 - torch.outer(line, line))
    assert mix.lam.item() == 0.75


@pytest.mark.parametrize("overhang", ["wrap", "clip"])
@pytest.mark.parametrize("shape", [(3, 3, 32, 32), (3, 3, 24, 36), (5, 1, 8, 8)])
def test_equals_the_slow_loop(overhang, shape):
    x = torch.randn(shape)
    for seed in range(60):
        mix = plan(x, seed, overhang=overhang)
        rng = np.random.default_rng(seed)
        rng.random()  # the coin
        lam = rng.beta(1, 1, 1)[0]
        rng.permutation(len(x))
        slow = slow_mask(rng, lam, *shape[2:], overhang)
        assert torch.equal(mix.mask[0, 0], slow)
        assert mix.lam.item() == pytest.approx(slow.mean().item(), abs=1e-6)
        mixed = mix.apply(x)
        for row in range(0, shape[2], 5):
            for column in range(shape[3]):
                source = x if slow[row, column] else x[mix.perm]
                assert torch.equal(mixed[:, :, row, column], source[:, :, row, column])


def test_what_hangs_over():
    """`wrap` and `clip` differ where a crop hangs over the beginning of the image, and only there."""
    masks = [plan(torch.zeros(400, 1, 32, 32), lam_per="sample", overhang=o).mask for o in ("wrap", "clip")]
    differ = (masks[0] != masks[1]).flatten(1).any(1).float().mean().item()
    assert differ == pytest.approx(0.22, abs=0.07)  # 0.22 of 12,000 draws of the defaults
    fits = {"crop_area": [0.5, 0.5], "crop_aspect": [1, 1], "lam_per": "sample"}
    x = torch.zeros(100, 1, 32, 32)
    assert torch.equal(plan(x, overhang="wrap", **fits).mask, plan(x, overhang="clip", **fits).mask)


@pytest.mark.parametrize("overhang", ["wrap", "clip"])
def test_edges(draws, overhang):
    """At least a pixel of each cell, never the whole cell: 4 x 4 cells of 8 pixels."""
    x, y = torch.randn(3, 3, 32, 32), torch.zeros(3, dtype=torch.int64)
    method = GridMix(holes=[4, 4], crop_area=[1, 1], crop_aspect=[1, 1], overhang=overhang)
    for lam, hole in ((1.0, 1), (0.0, 7)):
        mix = method.plan(x, y, None, draws(beta=lam, centre=(4, 4)))
        assert mix.lam.item() == pytest.approx(1 - 16 * hole**2 / 1024)
        assert mix.mask.sum().item() == 1024 - 16 * hole**2


def test_moments():
    """A crop of the whole image: the area follows lam, truncation aside. The default crop: as in the loop."""
    x = torch.zeros(4000, 1, 32, 32)
    whole = plan(x, lam_per="sample", crop_area=[1, 1], crop_aspect=[1, 1], holes=[2, 2]).lam
    expected = np.mean(
        [1 - 4 * min(max(int(16 * math.sqrt(u)), 1), 15) ** 2 / 1024 for u in np.linspace(0, 1, 9999)]
    )
    assert whole.mean().item() == pytest.approx(expected, abs=0.015)
    rng = np.random.default_rng(1)
    slow = [slow_mask(rng, rng.random(), 32, 32, "wrap").mean().item() for _ in range(3000)]
    assert plan(x, lam_per="sample").lam.mean().item() == pytest.approx(np.mean(slow), abs=0.02)


def test_one_grid_per_sample(batch):
    x, _ = batch
    assert plan(x).mask.shape == (1, 1, 32, 32)
    mix = plan(x, lam_per="sample")
    assert mix.mask.shape == (8, 1, 32, 32)
    assert len({tuple(m.flatten().tolist()) for m in mix.mask}) == 8
    assert mix.lam.shape == (8,)


def test_extreme_ranges():
    """Crops far larger than the image, holes that no cell can hold: a valid mask all the same."""
    x = torch.randn(3, 1, 8, 8)
    for options in (
        {"crop_aspect": [0.01, 100.0]},
        {"holes": [50, 60]},
        {"hole_aspect": [0.1, 10.0]},
        {"crop_area": [0.001, 0.01]},
    ):
        for overhang in ("wrap", "clip"):
            for seed in range(30):
                mix = plan(x, seed, lam_per="sample", overhang=overhang, **options)
                assert torch.isin(mix.mask, torch.tensor([0.0, 1.0])).all()
                torch.testing.assert_close(mix.lam, mix.mask.mean((1, 2, 3)))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"holes": 4}, "holes"),
        ({"holes": [0, 4]}, "holes"),
        ({"holes": [2.5, 4]}, "holes"),
        ({"holes": [6, 2]}, "holes"),
        ({"hole_aspect": [0, 1]}, "hole_aspect"),
        ({"crop_area": [0.5, 1.5]}, "crop_area"),
        ({"crop_aspect": [0.5, float("inf")]}, "crop_aspect"),
        ({"crop_aspect": [float("nan"), 1]}, "crop_aspect"),
        ({"overhang": "cut"}, "overhang"),
    ],
)
def test_bad_options(options, named):
    with pytest.raises(UserError, match=f"method.{named}") as caught:
        GridMix(**options)
    assert "\n" not in str(caught.value)
