import math

import numpy as np
import pytest
import torch

from msda_train.core.errors import UserError
from msda_train.functional.masks import low_frequency_images
from msda_train.methods.fmix import FMix


def plan(x, seed=0, **options):
    y = torch.zeros(len(x), dtype=torch.int64)
    return FMix(**options).plan(x, y, None, np.random.default_rng(seed))


@pytest.fixture
def pinned(draws):
    """Draws with a chosen lam, and Gaussian noise from the same generator."""

    def make(lam, seed=0):
        rng = draws(beta=lam, seed=seed)
        rng.standard_normal = rng.rng.standard_normal
        return rng

    return make


def test_the_highest_pixels_are_own(batch, draws, monkeypatch):
    """A 2 x 3 image by hand: lam = 0.5 keeps the three highest of six pixels."""
    image = np.array([[[0.1, 0.9, 0.3], [0.8, -2.0, 0.7]]])
    monkeypatch.setattr("msda_train.methods.fmix.low_frequency_images", lambda *a: image.copy())
    x = torch.randn(4, 3, 2, 3)
    mix = FMix().plan(x, torch.zeros(4, dtype=torch.int64), None, draws(beta=0.5))
    assert mix.mask[0, 0].tolist() == [[0, 1, 0], [1, 0, 1]]
    assert mix.lam.item() == 0.5


@pytest.mark.parametrize("spectrum", ["code", "paper"])
@pytest.mark.parametrize("max_soft", [0.0, 0.2])
def test_equals_the_slow_loop(batch, pinned, spectrum, max_soft):
    x, y = batch
    method = FMix(spectrum=spectrum, max_soft=max_soft)
    for lam in (0.1, 0.65):
        mix = method.plan(x, y, None, pinned(lam, seed=3))
        rng = pinned(lam, seed=3).rng
        rng.permutation(8)
        image = low_frequency_images(rng, 1, 32, 32, 3.0, spectrum)[0]
        number = math.ceil(lam * 1024) if rng.random() > 0.5 else math.floor(lam * 1024)
        soft = int(1024 * min(max_soft, lam, 1 - lam))
        ranked = sorted(((r, c) for r in range(32) for c in range(32)), key=lambda p: -image[p])
        own = torch.zeros(32, 32)
        for place, (row, column) in enumerate(ranked):
            if place < number - soft:
                own[row, column] = 1
            elif place < number + soft:
                own[row, column] = 1 - (place - (number - soft)) / (2 * soft - 1)
        torch.testing.assert_close(mix.apply(x), own * x + (1 - own) * x[mix.perm])


def test_label_is_the_sampled_lam_or_the_area(batch, pinned):
    x, y = batch
    for lam in (0.3333, 0.65):
        mix = FMix().plan(x, y, None, pinned(lam))
        assert mix.lam.item() == pytest.approx(lam, abs=1e-7)
        assert mix.mask.mean().item() != pytest.approx(lam, abs=1e-7)
        assert mix.mask.mean().item() == pytest.approx(lam, abs=1 / 1024)
        area = FMix(label="area").plan(x, y, None, pinned(lam))
        assert torch.equal(area.mask, mix.mask)
        assert area.lam.item() == pytest.approx(area.mask.mean().item(), abs=1e-7)


def test_edges(batch, pinned):
    x, y = batch
    for options in ({}, {"max_soft": 0.5}, {"label": "area"}):
        assert torch.equal(FMix(**options).plan(x, y, None, pinned(1.0)).apply(x), x)
        partner = FMix(**options).plan(x, y, None, pinned(0.0))
        assert torch.equal(partner.apply(x), x[partner.perm])
        assert partner.lam.item() == 0


def test_the_rounding_is_a_fair_coin(pinned):
    """On 4 x 4 pixels lam = 0.53 asks for 8.48 pixels: 8 or 9, so 8.5 on average."""
    x, y = torch.zeros(2, 1, 4, 4), torch.zeros(2, dtype=torch.int64)
    kept = [FMix().plan(x, y, None, pinned(0.53, seed=s)).mask.sum().item() for s in range(1000)]
    assert set(kept) == {8, 9}
    assert np.mean(kept) == pytest.approx(8.5, abs=0.05)


def test_moments():
    """alpha = 1: lam is uniform, and E[area] = E[lam] = 1/2, Var = 1/12."""
    x = torch.zeros(6000, 1, 16, 16)
    mix = plan(x, lam_per="sample", spectrum="paper")
    area = mix.mask.mean((1, 2, 3))
    assert area.mean().item() == pytest.approx(0.5, abs=0.012)
    assert area.var().item() == pytest.approx(1 / 12, abs=0.004)
    assert (area - mix.lam).abs().max() < 1 / 256
    # Every place is kept alike: the masks have no favourite corner.
    assert mix.mask.mean(0).min().item() == pytest.approx(0.5, abs=0.03)
    assert mix.mask.mean(0).max().item() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("spectrum", ["code", "paper"])
def test_masks_are_blobs(pinned, spectrum):
    """Near pixels agree more often than far ones, and less so without the decay."""
    x, y = torch.zeros(300, 1, 32, 32), torch.zeros(300, dtype=torch.int64)

    def agreement(decay):
        method = FMix(lam_per="sample", spectrum=spectrum, decay=decay)
        mask = method.plan(x, y, None, pinned(0.5)).mask
        return [(mask == mask.roll(shift, -2)).float().mean().item() for shift in (1, 4, 16)]

    near, middle, far = agreement(3.0)
    assert near > 0.9
    assert near > middle + 0.1 > far + 0.2
    assert agreement(0.0)[0] < 0.6


def test_one_mask_per_sample(batch):
    x, _ = batch
    assert plan(x).mask.shape == (1, 1, 32, 32)
    mix = plan(x, lam_per="sample")
    assert mix.mask.shape == (8, 1, 32, 32)
    assert len({tuple(m.flatten().tolist()) for m in mix.mask}) == 8


@pytest.mark.parametrize("shape", [(5, 1, 8, 8), (3, 3, 12, 20), (3, 3, 20, 7)])
@pytest.mark.parametrize("spectrum", ["code", "paper"])
def test_other_images(shape, spectrum):
    x = torch.randn(shape)
    for lam_per in ("batch", "sample"):
        mix = plan(x, seed=1, spectrum=spectrum, lam_per=lam_per)
        assert mix.apply(x).shape == shape
        area = mix.mask.mean((1, 2, 3))
        assert ((area - mix.lam).abs() < 1 / (shape[2] * shape[3])).all()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"decay": -1}, "decay"),
        ({"decay": "x"}, "decay"),
        ({"max_soft": 0.6}, "max_soft"),
        ({"max_soft": -0.1}, "max_soft"),
        ({"label": "lam"}, "label"),
        ({"spectrum": "real"}, "spectrum"),
        ({"alpha": 0}, "alpha"),
    ],
)
def test_bad_options(options, named):
    with pytest.raises(UserError, match=f"method.{named}") as caught:
        FMix(**options)
    assert "\n" not in str(caught.value)
