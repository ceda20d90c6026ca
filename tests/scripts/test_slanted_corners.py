"""Digits in the corners of another angle."""

import numpy as np
import pytest

from msda_train.core.randomness import generator
from msda_train.data.slanted_digits import draw, draw_factors


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("slanted_corners")


def test_in_its_own_corners_a_digit_is_as_it_is_drawn(script):
    factors, _ = draw_factors(generator(0, "any"), 40, "A", "train", "free")
    assert np.array_equal(script.framed(factors, factors[:, 6]), draw(factors))


def test_a_quarter_turn_leaves_the_corners_as_they_are(script):
    """The reason why a network that looks at corners takes -20 degrees for 70."""
    factors, _ = draw_factors(generator(1, "any"), 20, "A", "test", "free")
    there = script.framed(factors, factors[:, 6])
    turned = script.framed(factors, factors[:, 6] + 90)
    assert (np.abs(there.astype(int) - turned) > 8).mean() < 0.005
    none = script.framed(factors, np.zeros(20))
    assert (none == 0).mean() == 0 < (there == 0).mean()
