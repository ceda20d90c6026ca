import numpy as np
import pytest
import torch

from msda_train.methods.gmix import GMix


@pytest.mark.parametrize(
    ("lam", "centre", "label"),
    [
        (0.25, (16, 16), 0.243856),
        (0.25, (0, 0), 0.070557),
        (0.65, (16, 16), 0.673663),
        (0.65, (2, 30), 0.872442),
        (0.5, (16, 16), 0.573685),
        (0.05, (16, 16), 0.050000),
    ],
)
def test_fixtures(batch, draws, lam, centre, label):
    x, y = batch
    mix = GMix().plan(x, y, None, draws(beta=lam, centre=centre))
    assert mix.lam.item() == pytest.approx(label, abs=1e-6)


def test_equals_the_slow_loop(batch, draws):
    x, y = batch
    for lam in (0.3, 0.8):
        mixed = GMix().plan(x, y, None, draws(beta=lam, centre=(10, 20))).apply(x)
        minority = min(lam, 1 - lam)
        for i in range(8):
            for row in range(0, 32, 3):
                for column in range(32):
                    blob = np.exp(-np.pi * ((row - 10) ** 2 + (column - 20) ** 2) / (minority * 1024))
                    own = blob if lam < 0.5 else 1 - blob
                    slow = own * x[i, :, row, column] + (1 - own) * x[7 - i, :, row, column]
                    torch.testing.assert_close(mixed[i, :, row, column], slow, rtol=1e-4, atol=1e-5)


def test_the_bump_shows_the_minority(batch, draws):
    x, y = batch
    assert GMix().plan(x, y, None, draws(beta=0.3)).mask[0, 0, 16, 16] == 1  # own image in the bump
    assert GMix().plan(x, y, None, draws(beta=0.8)).mask[0, 0, 16, 16] == 0  # the partner in the bump


def test_whole_lam_is_unmixed_not_nan(batch, draws):
    x, y = batch
    for lam in (0.0, 1.0):
        mix = GMix().plan(x, y, None, draws(beta=lam))
        assert mix.lam.item() == 1
        assert torch.equal(mix.apply(x), x)


def test_averages():
    """E[label weight] = 0.502, E[max(w, 1 - w)] = 0.831 at 32 x 32, alpha 1."""
    x, y = torch.zeros(4000, 1, 32, 32), torch.zeros(4000, dtype=torch.int64)
    weight = GMix(lam_per="sample").plan(x, y, None, np.random.default_rng(0)).lam
    assert weight.mean().item() == pytest.approx(0.502, abs=0.02)
    assert torch.maximum(weight, 1 - weight).mean().item() == pytest.approx(0.831, abs=0.008)
