import zlib

import numpy as np
import pytest

from msda_train.core.randomness import draw_lam, generator, pair


def test_a_place_in_the_run_is_a_generator():
    def draw(*place):
        return generator(*place).random()

    assert draw(1, "mix", 2, 3) == draw(1, "mix", 2, 3)
    others = [draw(0, "mix", 2, 3), draw(1, "order", 2, 3), draw(1, "mix", 3, 2), draw(1, "mix", 2, 4)]
    assert len({draw(1, "mix", 2, 3), *others}) == 5


@pytest.mark.parametrize("alpha", [0.2, 1.0, 2.0])
def test_lam_has_the_moments_of_beta(alpha):
    lam = draw_lam(np.random.default_rng(0), alpha, 20_000)
    assert lam.mean() == pytest.approx(0.5, abs=0.01)
    assert lam.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


def test_tiny_alpha_stays_finite():
    lam = draw_lam(np.random.default_rng(0), 1e-3, 1000)
    assert ((lam >= 0) & (lam <= 1)).all()


def test_pairing():
    rng = np.random.default_rng(0)
    assert sorted(pair(rng, "permutation", 7)) == list(range(7))
    assert list(pair(rng, "reversal", 5)) == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("place", [(0, 0, 0), (7, 3, 2**31), (2**32 - 1, 0, 1), (2**32, 0, 1), (2**70, 2, 3)])
def test_the_streams_are_those_of_the_numbers(place):
    """Rows of older versions stay repeatable."""
    seed, epoch, step = place
    expected = np.random.default_rng([seed, zlib.crc32(b"mix"), epoch, step]).random(4)
    assert (generator(seed, "mix", epoch, step).random(4) == expected).all()
