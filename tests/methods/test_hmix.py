import numpy as np
import pytest
import torch

from msda_train.methods.hmix import HMix


@pytest.mark.parametrize(
    ("lam", "ratio", "centre", "outside"),
    [
        (0.65, 0.5, (16, 16), 0.756364),
        (0.65, 0.5, (2, 30), 0.693333),
        (0.65, 1.0, (16, 16), 0.950857),
        (0.3, 0.5, (16, 16), 0.438857),
    ],
)
def test_fixtures(batch, draws, lam, ratio, centre, outside):
    x, y = batch
    mix = HMix(ratio=ratio).plan(x, y, None, draws(beta=lam, centre=centre))
    assert mix.lam.item() == pytest.approx(lam, abs=1e-6)  # the sampled lam, unchanged
    assert mix.mask.max().item() == pytest.approx(outside, abs=1e-6)
    assert mix.mask.min().item() == 0
    assert mix.mask.mean().item() == pytest.approx(lam, abs=1e-6)


def test_equals_the_slow_loop(batch, draws):
    x, y = batch
    mixed = HMix(ratio=0.5).plan(x, y, None, draws(beta=0.65, centre=(2, 30))).apply(x)
    for i in range(8):
        j = 7 - i
        for row in range(32):
            for column in range(32):
                inside = row < 8 and column >= 24
                weight = 0.0 if inside else 0.65 / 0.9375
                slow = weight * x[i, :, row, column] + (1 - weight) * x[j, :, row, column]
                torch.testing.assert_close(mixed[i, :, row, column], slow)


def test_averages_at_half_ratio():
    """E[share outside] = 0.834, E[weight outside] = 0.570 at r = 0.5, 32 x 32, alpha 1."""
    from msda_train.functional import masks

    rng = np.random.default_rng(0)
    lam = rng.beta(1, 1, 60_000)
    edges = masks.centred_box(lam, masks.draw_centre(rng, len(lam), 32, 32), 32, 32, 0.5)
    kept = masks.kept_share(edges, 32, 32)
    assert kept.mean() == pytest.approx(0.834, abs=0.003)
    assert (lam / kept).mean() == pytest.approx(0.570, abs=0.005)
    x, y = torch.zeros(2, 1, 32, 32), torch.zeros(2, dtype=torch.int64)
    ours = [HMix().plan(x, y, None, np.random.default_rng(s)).mask.max().item() for s in range(2000)]
    assert np.mean(ours) == pytest.approx(0.570, abs=0.02)


def test_edges(batch, draws):
    x, y = batch
    assert torch.equal(HMix().plan(x, y, None, draws(beta=1.0)).apply(x), x)
    assert torch.equal(HMix().plan(x, y, None, draws(beta=0.0)).apply(x), x.flip(0))
    whole_box = HMix(ratio=1.0).plan(x, y, None, draws(beta=0.0))  # nothing lies outside the box
    assert whole_box.lam.item() == 0
    assert whole_box.apply(x).isfinite().all()
