import numpy as np
import pytest
import torch
from torch.nn import functional as F

from msda_train.core.errors import UserError
from msda_train.methods.resizemix import ResizeMix


def plan(x, seed=0, **options):
    y = torch.zeros(len(x), dtype=torch.int64)
    return ResizeMix(**options).plan(x, y, None, np.random.default_rng(seed))


def test_by_hand(draws):
    """A 4 x 4 partner halved keeps its even pixels; a box at centre (0, 3) is moved into the corner."""
    x = torch.arange(32.0).view(2, 1, 4, 4)
    method = ResizeMix(scope=[0.5, 0.5], pairing="reversal")
    mix = method.plan(x, torch.zeros(2, dtype=torch.int64), None, draws(centre=(0, 3)))
    assert mix.apply(x)[0, 0].tolist() == [[0, 1, 16, 18], [4, 5, 24, 26], [8, 9, 10, 11], [12, 13, 14, 15]]
    assert mix.lam.tolist() == [0.75, 0.75]


def test_clipped_by_hand(draws):
    """The same, clipped: what is left of the box, one pixel wide, holds all that the partner has."""
    x = torch.arange(32.0).view(2, 1, 4, 4)
    method = ResizeMix(scope=[0.5, 0.5], pairing="reversal", border="clip", box_per="batch")
    mix = method.plan(x, torch.zeros(2, dtype=torch.int64), None, draws(centre=(0, 2)))
    assert mix.apply(x)[0, 0].tolist() == [[0, 16, 18, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]
    assert mix.lam.tolist() == [1 - 2 / 16]


@pytest.mark.parametrize("tau", [0.1, 0.2, 0.33, 0.5, 0.71, 0.8, 1.0])
def test_equals_the_authors_way(batch, tau):
    """Sample by sample: torch's interpolation by the scale factor, pasted by slices."""
    x, y = batch
    mix = ResizeMix(scope=[tau, tau]).plan(x, y, None, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    rng.random(), rng.beta(1, 1, 1), rng.permutation(8), rng.random(1)
    rows, columns = rng.integers(0, 32, 8), rng.integers(0, 32, 8)
    small = F.interpolate(x, scale_factor=tau)
    extent = small.shape[-1]
    slow = x.clone()
    for i in range(8):
        top = min(max(int(rows[i]) - extent // 2, 0), 32 - extent)
        left = min(max(int(columns[i]) - extent // 2, 0), 32 - extent)
        slow[i, :, top : top + extent, left : left + extent] = small[mix.perm[i]]
    assert torch.equal(mix.apply(x), slow)
    assert mix.lam.tolist() == pytest.approx([1 - extent**2 / 1024] * 8)
    assert torch.equal(mix.apply(x.contiguous(memory_format=torch.channels_last)), slow)


@pytest.mark.parametrize("shape", [(5, 3, 32, 32), (4, 1, 12, 20), (3, 3, 20, 12), (5, 1, 8, 8)])
@pytest.mark.parametrize("lam_per", ["batch", "sample"])
def test_clipped_equals_torch(shape, lam_per):
    """Whatever box the mask shows, the whole partner is squeezed into it."""
    x = torch.randn(shape)
    seen = set()
    for seed in range(25):
        mix = plan(x, seed, border="clip", box_per="batch", lam_per=lam_per)
        mixed = mix.apply(x)
        for i in range(shape[0]):
            inside = mix.mask.expand(shape[0], -1, -1, -1)[i, 0] == 0
            rows, columns = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
            slow = x[i].clone()
            if len(rows):
                size = (len(rows), len(columns))
                pasted = F.interpolate(x[mix.perm[i]][None], size=size)[0]
                slow[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = pasted
                seen.add(size)
            assert torch.equal(mixed[i], slow)
    assert len(seen) > 8 or shape[-1] == 8


def test_equals_the_slow_loop():
    x = torch.randn(3, 3, 12, 20)
    for seed in range(10):
        mix = plan(x, seed, lam_per="sample")
        mixed = mix.apply(x)
        rng = np.random.default_rng(seed)
        rng.random(), rng.beta(1, 1, 3), rng.permutation(3)
        tau = 0.1 + (0.8 - 0.1) * rng.random(3)
        centre = np.stack([rng.integers(0, 12, 3), rng.integers(0, 20, 3)])
        for i in range(3):
            high, wide = int(12 * tau[i]), int(20 * tau[i])
            top = max(min(centre[0, i] - high // 2, 12 - high), 0)
            left = max(min(centre[1, i] - wide // 2, 20 - wide), 0)
            assert mix.lam[i].item() == pytest.approx(1 - high * wide / 240)
            for row in range(12):
                for column in range(20):
                    if top <= row < top + high and left <= column < left + wide:
                        r, c = int((row - top) / tau[i]), int((column - left) / tau[i])
                        slow = x[mix.perm[i], :, r, c]
                    else:
                        slow = x[i, :, row, column]
                    assert torch.equal(mixed[i, :, row, column], slow)


def test_edges():
    x = torch.randn(5, 1, 8, 8)
    whole = plan(x, scope=[1, 1])
    assert torch.equal(whole.apply(x), x[whole.perm])
    assert whole.lam.tolist() == [0] * 5
    dot = plan(x, scope=[0.01, 0.01])
    assert dot.lam.tolist() == [1 - 1 / 64] * 5
    none = plan(x, scope=[0.01, 0.01], border="clip")
    assert torch.equal(none.apply(x), x)
    assert none.lam.tolist() == [1] * 5


def test_distribution_of_the_area():
    """tau ~ U(0.1, 0.8): E[share] = E[floor(32 tau)^2] / 1024, by counting."""
    x = torch.zeros(20_000, 1, 32, 32)
    share = 1 - plan(x, lam_per="sample").lam
    expected = np.mean([int(32 * t) ** 2 for t in np.linspace(0.1, 0.8, 100_001)]) / 1024
    assert share.mean().item() == pytest.approx(expected, abs=0.006)
    assert share.min() >= 9 / 1024
    assert share.max() <= 625 / 1024


def test_the_box_lies_inside_and_likes_the_border():
    """Extent 16: centres 0 to 8 of 32 give top 0, centres 24 to 31 give bottom 32."""
    x = torch.zeros(8000, 1, 32, 32)
    inside = 1 - plan(x, scope=[0.5, 0.5]).mask[:, 0]
    assert (inside.sum((1, 2)) == 256).all()
    assert inside[:, 0].any(1).float().mean().item() == pytest.approx(9 / 32, abs=0.02)
    assert inside[:, 31].any(1).float().mean().item() == pytest.approx(8 / 32, abs=0.02)


def test_beta_where_it_is_in_scope(batch, draws):
    x, y = batch
    method = ResizeMix(draw="beta", scope=[0.25, 0.75])
    assert method.plan(x, y, None, draws(beta=0.5)).lam[0].item() == 0.75
    outside = {method.plan(x, y, None, draws(beta=0.9, seed=s)).lam[0].item() for s in range(20)}
    assert len(outside) > 5
    assert min(outside) >= 1 - 0.75**2


def test_who_shares_what():
    x = torch.randn(7, 3, 32, 32)
    places = plan(x).mask
    assert places.shape == (7, 1, 32, 32)
    assert len({tuple(m.flatten().tolist()) for m in places}) == 7
    assert len(set(places.mean((1, 2, 3)).tolist())) == 1  # one tau
    assert plan(x, box_per="batch").mask.shape == (1, 1, 32, 32)
    each = plan(x, lam_per="sample", box_per="batch")
    assert len(set(each.lam.tolist())) > 4


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"scope": 0.5}, "scope"),
        ({"scope": [0.1]}, "scope"),
        ({"scope": "01"}, "scope"),
        ({"scope": [0.8, 0.1]}, "scope"),
        ({"scope": [0, 0.5]}, "scope"),
        ({"scope": [0.1, 1.2]}, "scope"),
        ({"scope": ["a", 1]}, "scope"),
        ({"draw": "normal"}, "draw"),
        ({"box_per": "pixel"}, "box_per"),
        ({"border": "wrap"}, "border"),
    ],
)
def test_bad_options(options, named):
    with pytest.raises(UserError, match=f"method.{named}") as caught:
        ResizeMix(**options)
    assert "\n" not in str(caught.value)
