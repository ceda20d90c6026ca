"""The closed forms against masks of the real methods, and the averages by distance against a double loop."""

import numpy as np
import pytest
import torch

from msda_train.functional import theory
from msda_train.methods.cutmix import CutMix
from msda_train.methods.gmix import GMix
from msda_train.methods.hmix import HMix
from msda_train.methods.mixup import Mixup

SIDE = 32


class EveryCentre:
    """A generator that hands out one lam, and as centres every pixel once."""

    def __init__(self, lam):
        self.lam, self.axis = lam, 0

    def beta(self, a, b, size):
        return np.full(size, self.lam)

    def random(self):
        return 0.0

    def permutation(self, n):
        return np.arange(n)

    def integers(self, low, high, size):
        row, column = np.divmod(np.arange(size), SIDE)
        self.axis += 1
        return row if self.axis == 1 else column


def _masks(method, lam, n=1):
    rng = EveryCentre(lam)
    x = torch.zeros(n, 1, SIDE, SIDE)
    mask = method.plan(x, torch.zeros(n, dtype=torch.int64), None, rng).mask
    return 1 - mask.expand(n, 1, SIDE, SIDE)[:, 0].double().numpy()


@pytest.mark.parametrize(
    ("method", "lam", "closed", "tolerance"),
    [
        (Mixup(), 0.3, lambda lam, dy, dx: theory.mixup(lam), 1e-6),
        (CutMix(prob=1.0), 0.75, lambda *a: theory.cutmix(*a, SIDE, SIDE), 1e-6),
        (HMix(ratio=0.5), 0.875, lambda *a: theory.hmix(*a, SIDE, SIDE, 0.5), 1e-6),
        (HMix(ratio=1.0), 0.75, lambda *a: theory.hmix(*a, SIDE, SIDE, 1.0), 1e-6),
        (GMix(), 0.95, lambda *a: theory.gmix(*a, SIDE, SIDE), 1e-6),
        (GMix(), 0.05, lambda *a: theory.gmix(*a, SIDE, SIDE), 1e-6),
    ],
)
def test_a_real_mask_in_all_places_without_borders(method, lam, closed, tolerance, draws):
    """One mask in the middle, moved around a torus to every place: the expectation without borders, exactly.
    The values of lam give boxes of whole, even sides, and bumps that end before the border."""
    x, y = torch.zeros(2, 1, SIDE, SIDE), torch.zeros(2, dtype=torch.int64)
    mask = method.plan(x, y, None, draws(beta=lam)).mask.expand(-1, 1, SIDE, SIDE)
    other = 1 - mask[0, 0].double().numpy()
    for dy, dx in [(0, 0), (0, 1), (3, 2), (7, 0), (-5, 4), (9, 9)]:
        drawn = (other * np.roll(other, (dy, dx), axis=(0, 1))).mean()
        assert drawn == pytest.approx(float(closed(lam, dy, dx)), abs=tolerance), (dy, dx)


@pytest.mark.parametrize(("dy", "dx"), [(0, 0), (1, 0), (4, -5), (0, 15), (16, 0)])
def test_cutmix_in_every_place_as_the_method_draws_it(dy, dx):
    """Borders only cut off what central pixels do not see: for them the form is exact in real images too."""
    other = _masks(CutMix(prob=1.0, lam_per="sample"), 0.75, n=SIDE * SIDE)
    j, k = (16 - dy // 2, 16 - dx // 2), (16 - dy // 2 + dy, 16 - dx // 2 + dx)
    drawn = (other[:, j[0], j[1]] * other[:, k[0], k[1]]).mean()
    assert drawn == pytest.approx(float(theory.cutmix(0.75, dy, dx, SIDE, SIDE)), abs=1e-6)


@pytest.mark.parametrize(
    ("method", "lam", "closed", "tolerance"),
    [
        (GMix(lam_per="sample"), 0.95, lambda *a: theory.gmix(*a, SIDE, SIDE), 1e-6),
        (GMix(lam_per="sample"), 0.05, lambda *a: theory.gmix(*a, SIDE, SIDE), 1e-4),
        (HMix(lam_per="sample"), 0.875, lambda *a: theory.hmix(*a, SIDE, SIDE), 2e-3),
    ],
)
def test_gmix_and_hmix_as_the_methods_draw_them(method, lam, closed, tolerance):
    """GMix's bump ends before the border; what HMix's border clips goes into the weight outside the box."""
    other = _masks(method, lam, n=SIDE * SIDE)
    for dy, dx in [(0, 0), (2, 1), (6, -3)]:
        drawn = (other[:, 16, 16] * other[:, 16 + dy, 16 + dx]).mean()
        assert drawn == pytest.approx(float(closed(lam, dy, dx)), abs=tolerance)


def test_limits_of_hmix():
    dy, dx = 3, 2
    lam = np.linspace(0, 1, 11)
    np.testing.assert_allclose(theory.hmix(lam, dy, dx, 32, 32, 1e-12), theory.mixup(lam), atol=1e-9)
    np.testing.assert_allclose(
        theory.hmix(lam[1:], dy, dx, 32, 32, 1.0), theory.cutmix(lam[1:], dy, dx, 32, 32), atol=1e-12
    )
    for form in (theory.cutmix, theory.gmix):
        np.testing.assert_allclose(form(1.0, dy, dx, 32, 32), 0, atol=1e-12)  # nothing is mixed
    np.testing.assert_allclose(theory.gmix(0.0, dy, dx, 32, 32), 1)  # all is the partner's


def test_lam_quantiles_have_the_moments_of_beta():
    for alpha in (0.2, 1.0, 2.0):
        lam = theory.lam_quantiles(alpha)
        assert lam.mean() == pytest.approx(0.5)
        assert lam.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.02)


def test_by_distance_equals_a_loop_over_all_pairs():
    height, width = 4, 5
    image = np.random.default_rng(0).random((height, width))
    pixels = [(r, c) for r in range(height) for c in range(width)]
    sums, counts = {}, {}
    total = np.zeros((2 * height - 1, 2 * width - 1))
    for a in pixels:
        for b in pixels:
            distance = round(float(np.hypot(b[0] - a[0], b[1] - a[1])))
            sums[distance] = sums.get(distance, 0) + image[a] * image[b]
            counts[distance] = counts.get(distance, 0) + 1
            total[b[0] - a[0], b[1] - a[1]] += image[a] * image[b]  # negative places count from the end
    found = theory.by_distance(total, theory.pair_count(height, width))
    np.testing.assert_allclose(found, [sums[d] / counts[d] for d in sorted(sums)])
    assert sorted(sums) == list(range(len(found)))
    assert theory.pair_count(height, width).sum() == len(pixels) ** 2


def test_curves_fall_as_the_paper_says():
    curves = theory.curves(32, 32)
    assert {len(c) for c in curves.values()} == {45}
    np.testing.assert_allclose(curves["mixup"], 1 / 3, atol=1e-4)  # E[(1 - lam)^2] of the uniform
    fall = {name: c[1] / c[16] for name, c in curves.items()}
    assert fall["mixup"] == pytest.approx(1)
    assert fall["cutmix"] > fall["hmix"] > 1.02
    assert fall["gmix"] > 1.02
    assert all((np.diff(c) < 1e-12).all() for c in curves.values())


@pytest.mark.parametrize("lam", [0.0, 1e-300, 1e-17, 0.5, 1 - 2**-53, 1.0])
def test_extreme_lam_gives_weights(lam):
    """The weight of a pair of pixels is a mean of products of shares: in [0, 1] whatever lam."""
    for weight in (theory.mixup(lam), theory.cutmix(lam, 0, 3, 8, 8), theory.hmix(lam, 0, 3, 8, 8, 1.0)):
        assert 0 <= weight <= 1
    assert 0 <= theory.gmix(lam, 0, 3, 8, 8) <= 1
