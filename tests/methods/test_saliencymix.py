import numpy as np
import pytest
import torch

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.methods._fine_grained import fine_grained
from msda_train.methods.saliencymix import SaliencyMix


def boxes(mask):
    """(top, bottom, left, right) of the hole in each mask; the holes are rectangles."""
    found = []
    for m in mask[:, 0]:
        rows, columns = (torch.nonzero((m == 0).any(d)).flatten().tolist() for d in (1, 0))
        if not rows:
            found.append(None)
            continue
        edges = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        assert (m == 0).sum() == (edges[1] - edges[0]) * (edges[3] - edges[2])
        found.append(edges)
    return found


@pytest.fixture
def peaked(monkeypatch):
    """Saliency that is chosen, not computed: the value of the first channel at each pixel."""
    monkeypatch.setattr("msda_train.methods.saliencymix.fine_grained", lambda x: x[:, 0])


def with_peaks(places, size=32):
    x = torch.zeros(len(places), 3, size, size)
    for image, (row, column) in zip(x, places, strict=True):
        image[0, row, column] = 1
    return x


def test_the_fixture_box(peaked, draws):
    # lam 0.65: cut 18, box 7:25; at (2, 30) clipped to rows 0:11 and columns 21:32.
    y = torch.zeros(2, dtype=torch.int64)
    for place, box, lam in (((16, 16), (7, 25, 7, 25), 0.68359375), ((2, 30), (0, 11, 21, 32), 0.8818359375)):
        mix = SaliencyMix().plan(with_peaks([place] * 2), y, None, draws(beta=0.65))
        assert mix.lam.tolist() == [lam]
        assert boxes(mix.mask) == [box]


def test_the_box_is_at_the_peak_of_the_batch_first_partner(peaked):
    places = [(4, 4), (8, 20), (20, 8), (25, 25), (12, 28), (16, 16)]
    x, y = with_peaks(places), torch.arange(6)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        lam, perm = (rng.random(), rng.beta(1.0, 1.0, 1), rng.permutation(6))[1:]
        half = int(32 * np.sqrt(1 - lam[0])) // 2
        r, c = places[perm[0]]
        top, bottom, left, right = max(r - half, 0), min(r + half, 32), max(c - half, 0), min(c + half, 32)
        mix = SaliencyMix(prob=1.0).plan(x, y, None, np.random.default_rng(seed))
        assert boxes(mix.mask) == [(top, bottom, left, right) if half else None]
        assert mix.lam.item() == pytest.approx(1 - (bottom - top) * (right - left) / 1024)


@pytest.mark.parametrize("lam_per", ["batch", "sample"])
def test_each_equals_a_slow_loop(lam_per):
    x, y = torch.randn(7, 3, 32, 24, generator=torch.Generator().manual_seed(0)), torch.arange(7)
    method = SaliencyMix(prob=1.0, saliency_of="each", lam_per=lam_per)
    for seed in range(4):
        mix = method.plan(x, y, None, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        rng.random()
        lam = np.broadcast_to(rng.beta(1.0, 1.0, 7 if lam_per == "sample" else 1), 7)
        perm = rng.permutation(7)
        mixed, target = mix.apply(x), mix.target(y, 7)
        for i in range(7):
            other, image = x[perm[i]], x[i].clone()
            saliency = fine_grained(other[None])[0].flatten().tolist()
            row, column = divmod(saliency.index(max(saliency)), 24)
            cut_h, cut_w = int(32 * np.sqrt(1 - lam[i])), int(24 * np.sqrt(1 - lam[i]))
            area = 0
            for r in range(max(row - cut_h // 2, 0), min(row + cut_h // 2, 32)):
                for c in range(max(column - cut_w // 2, 0), min(column + cut_w // 2, 24)):
                    image[:, r, c] = other[:, r, c]
                    area += 1
            assert torch.equal(mixed[i], image)
            expected = torch.zeros(7)
            expected[i] += 1 - area / (32 * 24)
            expected[perm[i]] += area / (32 * 24)
            torch.testing.assert_close(target[i], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("saliency_of", ["partner0", "each"])
def test_edges_of_lam(peaked, draws, saliency_of):
    x, y = with_peaks([(16, 16)] * 4), torch.arange(4)
    method = SaliencyMix(saliency_of=saliency_of)
    for lam, kept in ((1.0, 1.0), (0.9999, 1.0), (0.0, 0.0)):
        assert (method.plan(x, y, None, draws(beta=lam)).lam == kept).all()


def test_pixels_undo_the_normalisation(monkeypatch, draws):
    seen = []
    monkeypatch.setattr(
        "msda_train.methods.saliencymix.fine_grained", lambda x: seen.append(x) or torch.zeros_like(x[:, 0])
    )
    pixels = torch.randint(0, 256, (4, 3, 32, 32)).byte()
    mean, std = [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]
    x = (pixels / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    method = SaliencyMix(input="pixels", saliency_of="each", mean=mean, std=std)
    mix = method.plan(x, torch.arange(4), None, draws())
    assert seen[0].dtype == torch.uint8
    assert torch.equal(seen[0], pixels[mix.perm])


def test_the_recipe_s_normalisation_arrives():
    words = ("dataset=cifar10", "method=saliencymix", "recipe=mixup")
    method = build("method", compose(*words).method)
    assert (method.mean[0], method.std[2]) == (0.4914, 0.2010)


@pytest.mark.parametrize("input", ["normalised", "pixels"])
def test_grey_images_work(input, draws):
    x = torch.randn(4, 1, 28, 28)
    mix = SaliencyMix(input=input, saliency_of="each").plan(x, torch.arange(4), None, draws())
    assert mix.mask.shape == (4, 1, 28, 28)


def test_moments():
    """Beta(1, 1) and a centre somewhere: CutMix's 0.70 for centres spread evenly over the image."""
    x, y = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)), torch.zeros(2)
    rng = np.random.default_rng(0)
    lam = []
    for _ in range(400):
        lam.append(SaliencyMix(prob=1.0).plan(x + 0.01 * rng.random(), y, None, rng).lam.item())
    assert np.mean(lam) == pytest.approx(0.70, abs=0.06)


@pytest.mark.parametrize("option", ["saliency_of", "input"])
def test_bad_options_are_named(option):
    from msda_train.core.errors import UserError

    with pytest.raises(UserError, match=f"method.{option}=other"):
        SaliencyMix(**{option: "other"})
