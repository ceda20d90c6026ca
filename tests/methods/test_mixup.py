import numpy as np
import torch

from msda_train.methods.mixup import Mixup


def test_equals_the_slow_loop(batch):
    x, y = batch
    for lam_per in ("batch", "sample"):
        mix = Mixup(alpha=1.0, lam_per=lam_per).plan(x, y, None, np.random.default_rng(5))
        mixed, target = mix.apply(x), mix.target(y, 10)
        lam = mix.lam.expand(8)
        for i in range(8):
            j = int(mix.perm[i])
            for c in range(3):
                for row in range(0, 32, 7):
                    for column in range(32):
                        a, b = x[i, c, row, column], x[j, c, row, column]
                        torch.testing.assert_close(mixed[i, c, row, column], lam[i] * a + (1 - lam[i]) * b)
            slow = torch.zeros(10)
            slow[y[i]] += lam[i]
            slow[y[j]] += 1 - lam[i]
            torch.testing.assert_close(target[i], slow)


def test_lam_once_per_batch_or_per_sample(batch):
    x, y = batch
    rng = np.random.default_rng(0)
    assert Mixup().plan(x, y, None, rng).lam.shape == (1,)
    assert len(Mixup(lam_per="sample").plan(x, y, None, rng).lam.unique()) == 8


def test_edges_are_the_two_images(batch, draws):
    x, y = batch
    assert torch.equal(Mixup().plan(x, y, None, draws(beta=1.0)).apply(x), x)
    mix = Mixup().plan(x, y, None, draws(beta=0.0))
    assert torch.equal(mix.apply(x), x[mix.perm])
