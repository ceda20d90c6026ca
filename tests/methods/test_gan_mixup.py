"""What the discriminator of a GAN is asked: against the paper's formula and the code's, point by point."""

import numpy as np
import pytest
import torch

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.methods.gan_mixup import GanErm, GanMixup

N = 2_000


def _draw(n=N):
    """Real points have first coordinate 1, generated ones 0; the second tells every point of every draw."""
    drawn = 0

    def draw():
        nonlocal drawn
        names = torch.arange(drawn, drawn + 2 * n, dtype=torch.float32)
        drawn += 2 * n
        real, generated = torch.ones(n, 2), torch.zeros(n, 2)
        real[:, 1], generated[:, 1] = names[:n], names[n:]
        return real, generated

    return draw


def _terms(method, seed=0):
    return method.terms(_draw(), np.random.default_rng(seed))


def test_erm_asks_real_and_generated_points_as_they_are():
    ((points, target, weight),) = _terms(GanErm())
    assert weight == 2  # l(d(x), 1) + l(d(g(z)), 0): two means, and this is the mean over both halves
    assert torch.equal(points[:, :1], target)
    assert target.sum() == N
    assert sorted(points[:, 1].tolist()) == list(range(2 * N))


def test_the_code_blends_any_two_with_weights_up_to_alpha():
    """A first coordinate that is the share of real points is also the target."""
    ((points, target, weight),) = _terms(GanMixup(alpha=0.2))
    assert weight == 1
    assert points.shape == (2 * N, 2)
    assert torch.allclose(points[:, :1], target, atol=1e-6)
    share = {"both real": 0.0, "both generated": 0.0, "one of each": 0.0}
    for value in target[:, 0].tolist():
        kind = "both real" if value == 1 else "both generated" if value == 0 else "one of each"
        share[kind] += 1 / (2 * N)
        assert value == 1 or value == 0 or 0 < value <= 0.2 or 0.8 <= value < 1
    assert share["one of each"] == pytest.approx(0.5, abs=0.05)
    assert share["both real"] == pytest.approx(0.25, abs=0.05)
    mixed = target[(target > 0) & (target < 1)]
    assert torch.where(mixed > 0.5, 1 - mixed, mixed).mean() == pytest.approx(0.1, abs=0.01)  # U(0, 0.2)


def test_the_paper_blends_real_with_generated():
    method = GanMixup(alpha=0.2, lam="beta", pairs="real_generated", generator="mixed")
    ((points, target, _),) = _terms(method)
    assert points.shape == (N, 2)
    lam = target[:, 0].double()
    assert torch.allclose(points[:, 0].double(), lam)
    row = torch.arange(N)
    assert torch.allclose(points[:, 1].double(), lam * row + (1 - lam) * (N + row), atol=1e-2)
    assert lam.mean() == pytest.approx(0.5, abs=0.05)
    assert lam.var() == pytest.approx(0.25 / 1.4, abs=0.02)  # of Beta(a, a): 1 / (4 (2 a + 1))


def test_a_term_beside_the_usual_loss():
    usual, mixed = _terms(GanMixup(alpha=0.2, lam="beta", pairs="real_generated", beside=True))
    assert torch.equal(usual.target, _terms(GanErm())[0].target)
    assert (usual.weight, mixed.weight) == (2, 1)
    assert len(mixed.points) == N
    assert usual.points[:, 1].max() < 2 * N <= mixed.points[:, 1].min()  # points of their own


def test_the_files_are_what_they_say():
    made = {
        name: build("method", compose("task=gan", f"method=gan/{name}").method, needed="terms")
        for name in ("erm", "mixup", "mixup_paper", "mixup_beside")
    }
    assert made["erm"] == GanErm()
    assert made["mixup"] == GanMixup(0.2, "uniform", "any", "unmixed", beside=False)
    assert made["mixup_paper"] == GanMixup(0.2, "beta", "real_generated", "mixed", beside=False)
    assert made["mixup_beside"] == GanMixup(0.2, "beta", "real_generated", "unmixed", beside=True)
    judged = {name: method.mixes_for_generator for name, method in made.items()}
    assert judged == {"erm": False, "mixup": False, "mixup_paper": True, "mixup_beside": False}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"alpha": 0.0}, "method.alpha=0.0"),
        ({"alpha": 1.5}, "method.alpha=1.5"),
        ({"alpha": 0.2, "lam": "normal"}, "method.lam=normal"),
        ({"alpha": 0.2, "pairs": "all"}, "method.pairs=all"),
        ({"alpha": 0.2, "generator": "both"}, "method.generator=both"),
    ],
)
def test_bad_options(options, named):
    with pytest.raises(UserError, match=named):
        GanMixup(**options)
    if named == "method.alpha=1.5":
        assert GanMixup(alpha=1.5, lam="beta").alpha == 1.5
