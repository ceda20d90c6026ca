"""GuidedMixup: saliency against NumPy, far pairs against a slow walk, the blend by hand."""

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage
from torchvision.transforms.functional import gaussian_blur

from msda_train.core.errors import UserError
from msda_train.methods._spectral_residual import spectral_residual
from msda_train.methods.guidedmixup import GuidedMixup, far_cycle


def by_numpy(image):
    """Of one grey image, by the definition; SciPy's box filter, OpenCV's Gaussian."""
    spectrum = np.fft.fft2(image)
    size = np.sqrt(np.abs(spectrum) ** 2 + 1e-10)
    log = np.log(size)
    residual = np.exp(log - ndimage.uniform_filter(log, 3, mode="nearest"))
    back = np.abs(np.fft.ifft2(spectrum * residual / size))
    return cv2.GaussianBlur(back, (7, 7), 3, borderType=cv2.BORDER_REFLECT_101)


def test_the_spectral_residual_is_numpys():
    x = np.random.default_rng(0).standard_normal((3, 1, 20, 24))
    found = spectral_residual(torch.from_numpy(x).float()).numpy()
    expected = np.stack([by_numpy(image[0]) for image in x])
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-5)


def test_colour_is_made_grey_and_large_images_small():
    x = torch.randn(2, 3, 16, 16)
    grey = (x * torch.tensor([0.2989, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(spectral_residual(x), spectral_residual(grey), rtol=1e-3, atol=1e-5)
    assert spectral_residual(torch.randn(1, 3, 160, 140)).shape == (1, 160, 140)
    with pytest.raises(UserError, match="at least 4 pixels"):
        spectral_residual(torch.randn(1, 1, 3, 8))


def slow_walk(distance):
    d = distance.copy()
    np.fill_diagonal(d, -np.inf)
    first = int(np.unravel_index(d.argmax(), d.shape)[0])
    order, left = [first], set(range(len(d))) - {first}
    while left:
        order.append(max(sorted(left), key=lambda k: d[order[-1], k]))
        left.remove(order[-1])
    partner = np.empty(len(d), dtype=int)
    for a, b in zip(order, [*order[1:], first], strict=True):
        partner[a] = b
    return partner


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_far_pairs_are_those_of_a_slow_walk(count):
    points = np.random.default_rng(count).standard_normal((count, 4))
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    found = far_cycle(torch.from_numpy(distance)).numpy()
    np.testing.assert_array_equal(found, slow_walk(distance) if count > 1 else [0])
    seen, at = [], 0
    for _ in range(count):  # one cycle through all
        seen.append(at)
        at = found[at]
    assert sorted(seen) == list(range(count))


def test_the_blend_by_hand():
    x = torch.randn(4, 1, 8, 8)
    method = GuidedMixup(prob=1, pairs="random")
    mix = method.plan(x, torch.arange(4) % 2, None, np.random.default_rng(3))
    s = spectral_residual(x).double()
    s = gaussian_blur(s, [7, 7], [3.0, 3.0])
    s /= s.sum(dim=(1, 2), keepdim=True)
    mask = (s / (s + s[mix.perm])).float()
    torch.testing.assert_close(mix.mask[:, 0], mask)
    torch.testing.assert_close(mix.lam, mask.mean(dim=(1, 2)))
    torch.testing.assert_close(mix.pixels(x), mask[:, None] * x + (1 - mask[:, None]) * x[mix.perm])


def test_nothing_salient_is_half_of_each():
    method, network = GuidedMixup(prob=1, saliency="gradient"), torch.nn.Flatten()
    x, y = torch.zeros(3, 1, 8, 8), torch.zeros(3, dtype=torch.long)
    mix = method.plan(x, y, network, np.random.default_rng(0))
    assert (mix.mask == 0.5).all()
