"""AugMix's operations against PIL's, and the chains against a slow loop over images."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from msda_train.functional.augmix import DEPTH, OPERATIONS, WIDTH, draw, mixed, rotation, warped


def _pictures(n=6, height=32, width=32):
    """Smooth ones, since in noise one step of rounding is as large as any other."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(each).resize((width, height))) for each in coarse])


def _tensor(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).float()


def _pil(image, operation, strength):
    picture = Image.fromarray(image)
    size = picture.size
    if operation == "posterize":
        return np.asarray(ImageOps.posterize(picture, int(strength)))
    if operation == "rotate":
        return np.asarray(picture.rotate(strength, resample=Image.Resampling.BILINEAR))
    matrix = {
        "shear_x": (1, strength, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, strength, 1, 0),
        "translate_x": (1, 0, strength, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, strength),
    }[operation]
    kind = Image.Transform.AFFINE
    return np.asarray(picture.transform(size, kind, matrix, resample=Image.Resampling.BILINEAR))


def _matrix(operation, strength, height=32, width=32):
    if operation == "rotate":
        return rotation(np.array([strength]), height, width)[0]
    places = {"shear_x": (0, 1), "shear_y": (1, 0), "translate_x": (0, 2), "translate_y": (1, 2)}
    made = np.eye(2, 3)
    made[places[operation]] = strength
    return made


@pytest.mark.parametrize("size", [(32, 32), (20, 28)])
@pytest.mark.parametrize(
    ("operation", "strength"),
    [
        *(("rotate", degrees) for degrees in (-8, -1, 0, 3, 8)),
        *(("shear_x", level) for level in (-0.09, 0.003, 0.05)),
        *(("shear_y", level) for level in (-0.09, 0.003, 0.05)),
        *(("translate_x", level) for level in (-3, 0, 2)),
        *(("translate_y", level) for level in (-3, 0, 2)),
    ],
)
def test_warps_are_pils(operation, strength, size):
    """Equal but where float32 and PIL's double fall on two sides of a whole number."""
    images = _pictures(2, *size)
    matrix = torch.from_numpy(_matrix(operation, strength, *size)).float().expand(2, 2, 3)
    ours = warped(_tensor(images), matrix).permute(0, 2, 3, 1).numpy()
    theirs = np.stack([_pil(image, operation, strength) for image in images]).astype(np.float32)
    away = np.abs(ours - theirs)
    assert away.max() <= 1
    assert (away > 0).mean() < 0.005
    if strength != 0:
        assert np.abs(theirs - images).mean() > 0.1


def _operation(matrix, bits):
    """What a drawn step is, by name and strength."""
    if bits != 255:
        return "posterize", {0xF0: 4, 0xE0: 3}[int(bits)]
    for name, place in (("shear_x", (0, 1)), ("translate_x", (0, 2)), ("translate_y", (1, 2))):
        if matrix[place] != 0 and matrix[0, 0] == 1:
            return name, matrix[place]
    if matrix[0, 0] == 1:
        return "shear_y", matrix[1, 0]
    return "rotate", float(np.round(np.degrees(np.arcsin(matrix[1, 0]))))


def test_a_batch_is_what_a_loop_over_its_images_makes():
    images = _pictures(24)
    draws = draw(np.random.default_rng(1), 24, 3.0, 32, 32)
    ours = mixed(_tensor(images), draws).permute(0, 2, 3, 1).numpy()
    used = set()
    for i, image in enumerate(images):
        total = np.zeros((32, 32, 3))
        for chain in range(WIDTH):
            made = image
            for step in range(DEPTH):
                name, strength = _operation(draws.matrix[i, chain, step], draws.bits[i, chain, step])
                used.add(name)
                made = _pil(made, name, strength)
            total += draws.weights[i, chain] * made
        expected = (1 - draws.share) * image + draws.share * total
        away = np.abs(ours[i] - expected)
        assert np.median(away) < 1e-3
        assert (away > 0.01).mean() < 0.05  # a step that rounds otherwise shows in the next
    assert used == set(OPERATIONS)


def test_what_is_drawn():
    """Levels of U(0.1, 3): posterize to 4 bits, or 3 from level 2.5 on; up to 8 degrees; 0.003 to 0.09; up to
    3 of 32 pixels. Chains of one to three, weights that sum to 1."""
    draws = draw(np.random.default_rng(0), 4000, 3.0, 32, 32)
    steps = draws.matrix.reshape(-1, 2, 3)
    bits = draws.bits.ravel()
    assert set(bits) == {255, 0xF0, 0xE0}
    assert (bits == 0xE0).sum() / (bits != 255).sum() == pytest.approx(0.5 / 2.9, abs=0.02)
    assert (bits != 255).mean() == pytest.approx(2 / 3 / 6, rel=0.05)  # two of three steps are taken
    sheared = steps[(steps[:, 0, 1] != 0) & (steps[:, 0, 0] == 1), 0, 1]
    assert 0.003 <= np.abs(sheared).min() < np.abs(sheared).max() <= 0.09
    assert (sheared > 0).mean() == pytest.approx(0.5, abs=0.05)
    moved = steps[steps[:, 0, 0] == 1, 0, 2]
    assert set(moved) == {-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0}
    turned = steps[steps[:, 0, 0] != 1]
    assert set(np.round(np.degrees(np.arcsin(turned[:, 1, 0])))) == {*range(-8, 0), *range(1, 9)}
    np.testing.assert_allclose(draws.weights.sum(axis=1), 1)
    assert draws.weights.mean(axis=0) == pytest.approx([1 / 3] * 3, abs=0.02)
    shares = [draw(np.random.default_rng(seed), 1, 3.0, 32, 32).share for seed in range(400)]
    assert (np.mean(shares), np.var(shares)) == pytest.approx((1 / 2, 1 / 12), abs=0.05)
