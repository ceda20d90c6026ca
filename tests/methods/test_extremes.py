"""Every method at the edges of what may be drawn and typed: no NaN, weights in [0, 1], labels of sum 1."""

import numpy as np
import pytest
import torch

from msda_train.config import checks
from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.paths import CONFIGS
from msda_train.core.randomness import draw_lam

LAMS = (0.0, 5e-324, 1e-300, 1e-17, 1e-8, 0.5, 1 - 1e-8, 1 - 2**-53, 1.0)
ALPHAS = (5e-324, 1e-300, 1e-6, 0.05, 1e6, 1e308)
SIZES = ((1, 1), (1, 7), (8, 8), (5, 12))
SQUARE = ((8, 8), (32, 32))
DRAWN = (
    "mixup",
    "manifold_mixup",
    "cutmix",
    "hmix",
    "gmix",
    "saliencymix",
    "fmix",
    "resizemix",
    "smoothmix",
    "starmix",
)
WORDS = [
    *(f"{name} method.lam_per={per}" for name in DRAWN for per in ("batch", "sample")),
    *("hmix method.ratio=1.0", "hmix method.ratio=1e-300", "cutmix method.corners=continuous"),
    *("cutmix method.label=sampled", "fmix method.spectrum=paper", "resizemix method.border=clip"),
    *("saliencymix method.saliency_of=each method.input=pixels", "cutout", "erm"),
]


class Fixed:
    """A generator whose beta is one value; all else is random."""

    def __init__(self, lam, seed):
        self.lam, self.rng = lam, np.random.default_rng(seed)

    def beta(self, a, b, size=None):
        return self.lam if size is None else np.full(size, self.lam)

    def random(self, size=None, **more):
        return 0.0 if size is None else self.rng.random(size, **more)  # the coin says yes

    def __getattr__(self, name):
        return getattr(self.rng, name)


def method_of(words):
    name, *overrides = words.split()
    return build("method", compose("dataset=cifar10", f"method={name}", *overrides).method)


def check(mix, x, y):
    mixed, target = mix.pixels(x), mix.target(y, 10)
    assert torch.isfinite(mixed).all()
    assert torch.isfinite(mix.mask).all()
    assert mix.mask.min() >= 0
    assert mix.mask.max() <= 1
    assert mix.lam.min() >= 0
    assert mix.lam.max() <= 1
    assert target.min() >= 0
    torch.testing.assert_close(target.sum(dim=1), torch.ones(len(x)))
    assert mixed.amin() >= x.amin() - 1e-5
    assert mixed.amax() <= x.amax() + 1e-5


@pytest.mark.parametrize("words", WORDS)
def test_extreme_lam_on_every_size(words):
    method = method_of(words)
    for size in SQUARE if words.startswith(("gmix", "smoothmix")) else SIZES:
        for batch in (1, 5):
            x = torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))
            y = torch.arange(batch) % 10
            for lam in LAMS:
                for seed in range(3):
                    check(method.plan(x, y, None, Fixed(lam, seed)), x, y)


def test_hmix_at_its_full_ratio_where_nothing_lies_outside_the_box():
    """The box of a centre in the middle is the whole image: 0 / 0 in the authors' formula."""
    method, x = method_of("hmix method.ratio=1.0"), torch.randn(4, 3, 8, 8)
    for seed in range(200):
        mix = method.plan(x, torch.arange(4), None, Fixed(1e-17, seed))
        check(mix, x, torch.arange(4))
        if mix.mask.max() == 0:
            assert torch.equal(mix.pixels(x), x.flip(0))  # reversal
            break
    else:
        pytest.fail("no box was the whole image")


@pytest.mark.parametrize("alpha", ALPHAS)
def test_extreme_alpha(alpha):
    lam = draw_lam(np.random.default_rng(0), alpha, 4000)
    assert np.isfinite(lam).all()
    assert abs(lam.mean() - 0.5) < 0.05
    if alpha > checks.FLOATS:  # refused on the command line
        return
    x, y = torch.randn(4, 3, 8, 8), torch.arange(4)
    for name in set(DRAWN) - {"resizemix", "smoothmix"}:  # these draw something else
        method = method_of(f"{name} method.alpha={alpha}")
        for seed in range(5):
            check(method.plan(x, y, None, np.random.default_rng(seed)), x, y)


def test_every_method_is_here_or_looks_at_a_network():
    tried = {words.split()[0] for words in WORDS}
    rest = {path.stem for path in (CONFIGS / "method").glob("*.yaml")} - tried
    asks = {
        "alignmix",
        "attentive_cutmix",
        "comixup",
        "guidedmixup",
        "kernel_mixup",
        "mixpro",
        "pgd_training",
    }
    asks |= {"puzzlemix", "smmix", "snapmix", "tokenmix", "transmix", "automix", "samix", "adautomix"}
    more_samples = {"rankmixup", "recursivemix", "regmixup", "sumix"}
    assert rest == {*asks, *more_samples, "gaussian_noise", "gridmix", "factor_mixup"}
