"""Ring and grid, against the lists of the authors' code and the moments of their points."""

import math

import numpy as np
import pytest

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.data.gaussians import Gaussians


def _named(name, *words):
    node = compose("task=gan", f"dataset=gan/{name}", *words).dataset
    return build("dataset", node, needed="points")


def test_centres():
    ring, grid = _named("ring").centres, _named("grid").centres
    by_hand = [(math.sin(k * math.pi / 4), math.cos(k * math.pi / 4)) for k in range(8)]
    assert np.allclose(ring, by_hand, atol=1e-6)
    assert sorted(map(tuple, grid.tolist())) == [(i / 2, j / 2) for i in range(-2, 3) for j in range(-2, 3)]


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_points(name):
    """Each mode equally often, with the spread that was asked for in both coordinates."""
    data = _named(name)
    points = data.points(np.random.default_rng(1), 50_000)
    assert points.shape == (50_000, 2)
    assert points.dtype == np.float32
    nearest = np.square(points[:, None] - data.centres).sum(axis=2).argmin(axis=1)
    counts = np.bincount(nearest, minlength=data.modes) / 50_000 * data.modes
    assert counts == pytest.approx(np.ones(data.modes), abs=0.1)
    assert (points - data.centres[nearest]).std(axis=0) == pytest.approx([0.01, 0.01], rel=0.02)


def test_content_tells_distributions_apart():
    ring = _named("ring")
    others = [_named("grid"), _named("ring", "dataset.sigma=0.02"), _named("ring", "dataset.modes=9")]
    assert len({ring.content, *(other.content for other in others)}) == 4
    assert ring.content == _named("ring").content


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("x", "star", 8, 0.01), "dataset.shape=star"),
        (("x", "grid", 24, 0.01), "dataset.modes=24: a grid needs a square number"),
        (("x", "ring", 1, 0.01), "dataset.modes=1"),
        (("x", "ring", 10**9, 0.01), "dataset.modes=1000000000: at most"),
        (("x", "ring", 8, 0.0), "dataset.sigma=0.0"),
    ],
)
def test_bad_options(options, named):
    with pytest.raises(UserError, match=named):
        Gaussians(*options)
