"""Deformations: exact where an exact answer exists, a slow loop elsewhere."""

import contextlib
import math

import numpy as np
import pytest
import torch
from torch import nn

from msda_train.core.errors import UserError
from msda_train.data.images import Images
from msda_train.evaluation.probes.deformations import Deformations, middle_mask, rotations, shears, warp
from msda_train.evaluation.probes.subject import Subject


def _images(side=7, width=None, n=3, channels=2):
    return torch.rand(n, channels, side, width or side, generator=torch.Generator().manual_seed(0))


def _zoom(n, factor):
    return np.eye(2)[None].repeat(n, axis=0) * factor


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_no_strength_is_the_identity(interpolation, padding):
    x = _images(8, 5)
    for matrix in (rotations(np.zeros(3)), shears(np.zeros(3)), _zoom(3, 1.0)):
        torch.testing.assert_close(warp(x, matrix, interpolation, padding), x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", [7, 8])
def test_quarter_turns_and_mirrors_are_exact(side):
    x = _images(side)
    for quarters in (1, 2, 3):
        turned = warp(x, rotations(np.full(3, 90.0 * quarters)), "bilinear", "zeros")
        torch.testing.assert_close(turned, torch.rot90(x, quarters, dims=(2, 3)), atol=1e-4, rtol=0)
    mirrored = warp(x, shears(np.full(3, 180.0)), "bilinear", "zeros")
    torch.testing.assert_close(mirrored, x.flip(3), atol=1e-4, rtol=0)


def _slow(image, matrix, padding):
    """Bilinear sampling of one (H, W) image, pixel by pixel."""
    height, width = image.shape
    out = np.zeros_like(image)

    def at(r, c):
        if padding == "border":
            return image[min(max(r, 0), height - 1), min(max(c, 0), width - 1)]
        return image[r, c] if 0 <= r < height and 0 <= c < width else 0.0

    for r in range(height):
        for c in range(width):
            offset = matrix @ np.array([r - (height - 1) / 2, c - (width - 1) / 2])
            row, column = offset[0] + (height - 1) / 2, offset[1] + (width - 1) / 2
            if padding == "border":
                row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
            top, left = math.floor(row), math.floor(column)
            a, b = row - top, column - left
            out[r, c] = (1 - a) * ((1 - b) * at(top, left) + b * at(top, left + 1)) + a * (
                (1 - b) * at(top + 1, left) + b * at(top + 1, left + 1)
            )
    return out


@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_equals_a_slow_loop_also_on_oblong_images(padding):
    x = _images(9, 6)
    angles = np.array([17.0, -33.0, 70.0])
    for matrix in (rotations(angles), shears(angles), _zoom(3, 0.6), _zoom(3, 1.4)):
        found = warp(x, matrix, "bilinear", padding)
        for i in range(3):
            for channel in range(2):
                slow = _slow(x[i, channel].double().numpy(), matrix[i], padding)
                np.testing.assert_allclose(found[i, channel].numpy(), slow, atol=1e-5)


def test_matrices_by_hand():
    np.testing.assert_allclose(rotations(np.array([30.0]))[0], [[3**0.5 / 2, 0.5], [-0.5, 3**0.5 / 2]])
    np.testing.assert_allclose(shears(np.array([30.0]))[0], [[1, -0.5], [0, 3**0.5 / 2]])


@pytest.mark.parametrize(
    ("share", "side", "first", "last"), [(0.5, 8, 2, 6), (0.25, 32, 12, 20), (0, 8, 4, 4), (1, 5, 0, 5)]
)
def test_middle(share, side, first, last):
    mask = middle_mask(share, side, side, torch.device("cpu"))[0, 0]
    for r in range(side):
        for c in range(side):
            assert mask[r, c] == (0 if first <= r < last and first <= c < last else 1)


class Brightest(nn.Module):
    """Predicts the brightest quarter of the image: 0 top left, 1 top right, 2 bottom left, 3 bottom right."""

    def forward(self, x):
        return nn.functional.adaptive_avg_pool2d(x, 2).mean(1).flatten(1)


def _subject(n=40, seed=0):
    y = np.arange(n) % 4
    x = np.full((n, 8, 8, 1), 40, dtype=np.uint8)
    for i, label in enumerate(y):
        row, column = divmod(label, 2)
        x[i, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 240
    images = Images(x, y, x, y, ("a", "b", "c", "d"), name="quarters", content="", complete=False)
    cpu = torch.device("cpu")
    return Subject(Brightest().eval(), images, [0.5], [0.25], cpu, contextlib.nullcontext, seed, {})


def test_errors_of_a_network_that_can_be_foreseen():
    probe = Deformations(rotation=[20, 180], shear=[20, 180], zoom=[50, 150], occlusion_centre=[50, 100])
    found = probe(_subject(400)).numbers
    assert found["plain/error"] == 0
    assert found["rotation_20/error"] == 0
    # Within 180 degrees a quarter stays the brightest for angles up to 45 degrees: one angle in four.
    assert found["rotation_180/error"] == pytest.approx(0.75, abs=0.07)
    assert 0.45 < found["shear_180/error"] < 0.7  # mirrored beyond 90 degrees
    assert found["zoom_50/error"] == found["zoom_150/error"] == 0
    assert found["occlusion_centre_50/error"] == 0
    assert found["occlusion_centre_100/error"] == 1  # all grey: a tie, and ties count as errors
    assert found["occlusion_border_50/error"] == 0
    assert set(found) == {
        f"{name}/error"
        for name in (
            *("plain", "rotation_20", "rotation_180", "shear_20", "shear_180", "zoom_50", "zoom_150"),
            *("occlusion_centre_50", "occlusion_centre_100"),
            *(f"occlusion_border_{k}" for k in (25, 50, 75)),
        )
    }
    assert found == probe(_subject(400)).numbers
    assert found != probe(_subject(400, seed=1)).numbers


def test_batches_do_not_change_the_angles(monkeypatch):
    probe = Deformations(rotation=[90], shear=[120])
    whole = probe(_subject(40)).numbers
    subject = _subject(40)
    monkeypatch.setattr(subject.__class__, "batches", _in_sevens(subject.__class__.batches))
    assert probe(subject).numbers == whole


def _in_sevens(batches):
    return lambda self, split="test", limit=None: batches(self, split, limit, 7)


def test_keys_say_what_is_not_default_and_images_limits():
    options = {"rotation": [20], "shear": [], "zoom": [], "occlusion_centre": [], "occlusion_border": [30]}
    found = Deformations(**options, interpolation="nearest", fill="edge", images=8)(_subject()).numbers
    assert set(found) == {"plain/error", "rotation_20_nearest_edge/error", "occlusion_border_30/error"}


@pytest.mark.parametrize(("fill", "corner"), [("black", 0.0), ("mean", 0.5), ("edge", 40 / 255)])
def test_what_fills_the_outside(fill, corner):
    subject = _subject(4)
    x, _ = next(subject.batches())
    shown = Deformations(fill=fill)._deformed(subject, x[3:], "zoom", 180.0, None)
    assert shown[0, 0, 0, 0].item() == pytest.approx(corner, abs=1e-6)
    covered = Deformations()._deformed(subject, x[3:], "occlusion_border", 50.0, None)
    assert covered[0, 0, 7, 7].item() == 0.5
    assert covered[0, 0, 4, 4].item() == pytest.approx(240 / 255)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"rotation": 20}, "rotation"),
        ({"shear": [-3]}, "shear"),
        ({"zoom": [0]}, "zoom"),
        ({"occlusion_centre": [101]}, "occlusion_centre"),
        ({"interpolation": "cubic"}, "interpolation"),
        ({"fill": "white"}, "fill"),
        ({"images": 0}, "images"),
    ],
)
def test_bad_options_are_named(options, named):
    with pytest.raises(UserError, match=f"probes.deformations.{named}"):
        Deformations(**options)
