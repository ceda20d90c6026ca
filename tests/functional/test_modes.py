"""Modes found and good samples: cases by hand, and real points."""

import numpy as np
import pytest
import torch

from msda_train.data.gaussians import Gaussians
from msda_train.functional.modes import coverage

CENTRES = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


@pytest.mark.parametrize(
    ("points", "found", "good"),
    [
        ([[0.0, 0.0], [0.02, 0.02]], 1, 1.0),
        ([[0.0, 0.0], [1.0, 0.031]], 1, 0.5),  # more than three times 0.01 away
        ([[0.0, 0.0], [1.0, 0.029], [0.5, 0.5], [0.0, 1.0]], 3, 0.75),
        ([[0.5, 0.0], [9.0, 9.0]], 0, 0.0),
        ([[0.022, 0.022]], 0, 0.0),  # the distance counts, not each coordinate
    ],
)
def test_by_hand(points, found, good):
    assert coverage(torch.tensor(points), CENTRES, 0.01) == (found, good)


@pytest.mark.parametrize(("shape", "modes"), [("ring", 8), ("grid", 25)])
def test_real_points_are_good(shape, modes):
    """1 - exp(-9 / 2) of them: the squared distance over sigma squared is chi-squared with two degrees."""
    data = Gaussians(shape, shape, modes, 0.01)
    real = torch.from_numpy(data.points(np.random.default_rng(0), 40_000))
    found, good = coverage(real, torch.from_numpy(data.centres), data.sigma)
    assert found == modes
    assert good == pytest.approx(1 - np.exp(-4.5), abs=0.002)
