import numpy as np
import pytest
import torch

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.methods.gaussian_noise import GaussianNoise


def test_the_noise_has_the_deviation_and_the_labels_stay(batch):
    x, y = batch
    plan = GaussianNoise(noise=0.2).plan(x, y, None, np.random.default_rng(0))
    off = plan.pixels(x) - x
    assert off.mean().item() == pytest.approx(0, abs=4 * 0.2 / off.numel() ** 0.5)
    assert off.std().item() == pytest.approx(0.2, rel=0.02)
    tails = (off.abs() > 0.4).float().mean().item()
    assert tails == pytest.approx(0.0455, abs=0.005)  # of a normal distribution, beyond two deviations
    assert torch.equal(plan.target(y, 10), torch.nn.functional.one_hot(y, 10).float())


def test_the_draws_are_those_of_the_generator(batch):
    x, y = batch
    plan = GaussianNoise(noise=0.5).plan(x, y, None, np.random.default_rng(9))
    rng = np.random.default_rng(9)
    rng.random()  # the coin
    drawn = torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32))
    torch.testing.assert_close(plan.pixels(x), x + 0.5 * drawn)
    half = GaussianNoise(noise=0.5).plan(x.bfloat16(), y, None, np.random.default_rng(9))
    assert half.pixels(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("value", ["0", "-1", ".nan", "x"])
def test_bad_values(value):
    with pytest.raises(UserError, match=r"method\.noise"):
        build("method", compose("method=gaussian_noise", f"method.noise={value}").method)
