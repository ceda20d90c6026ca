"""The saliency map against hand-computed values, a slow loop and OpenCV where it is installed."""

import struct
from math import trunc

import numpy as np
import pytest
import torch

from msda_train.core.errors import UserError
from msda_train.methods._fine_grained import fine_grained

MEAN, STD = np.float32([0.4914, 0.4822, 0.4465]), np.float32([0.2023, 0.1994, 0.2010])


def smooth_images(n, side, channels=3, seed=0):
    """(n, channels, side, side) uint8 with the spectrum of photographs: noise at several sizes."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.zeros(n, channels, side, side)
    for cells in (2, 4, 8, 16, side):
        noise = torch.randn(n, channels, cells, cells, generator=draw)
        x += torch.nn.functional.interpolate(noise, size=(side, side), mode="bilinear") / cells**0.5
    return (128 + 60 * x).clamp(0, 255).byte()


def normalised(x):
    """float32, as a training program makes them."""
    x = x.numpy() / np.float32(255)
    return torch.from_numpy((x - MEAN[:, None, None]) / STD[:, None, None])


def slow(grey, centre):
    """The map of blurred grey (H, W) and centre bytes (H, W), pixel by pixel, no integral image."""
    height, width = grey.shape
    on, off = np.zeros((height, width)), np.zeros((height, width))
    for n in (12, 24, 48, 28, 56, 112):
        for r in range(height):
            for c in range(width):
                box = grey[max(0, r - n + 1) : r + n + 1, max(0, c - n + 1) : c + n + 1]
                surround = (box.sum() - centre[r, c]) / (box.size - 1)
                on[r, c] += trunc(max(0, centre[r, c] - surround)) % 256
                off[r, c] += trunc(max(0, surround - centre[r, c])) % 256
    total = np.zeros((height, width), dtype=int)
    for part in (on, off):
        if part.max() > 0:
            total += (np.float64(np.float32(part) / np.float32(part.max())) * 255).astype(int)
    return total % 256


def slow_blur(grey):
    for _ in range(2):
        p = np.pad(grey, 1, mode="reflect")
        weights = {(dr, dc): (2 - abs(dr)) * (2 - abs(dc)) for dr in (-1, 0, 1) for dc in (-1, 0, 1)}
        h, w = grey.shape
        grey = sum(k * p[1 + dr : 1 + dr + h, 1 + dc : 1 + dc + w] for (dr, dc), k in weights.items())
        yield grey
        grey = (grey + 8) // 16


def test_a_bright_dot_by_hand():
    x = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    x[0, 0, 4, 4] = 144
    out = fine_grained(x)
    assert out.shape == (1, 9, 9)
    assert out.dtype == torch.uint8
    # One blur makes it 36 with 18 beside it, the second 20 (20.25) with 14 (13.5) beside; the sum is 144
    # still, and every surround is the whole picture. On of the centre: trunc(20 - 124 / 80) = 18, which is
    # the largest; of its neighbour: trunc(14 - 130 / 80) = 12, and 12 / 18 * 255 = 170.
    assert out[0, 4, 4] == 255
    assert out[0, 4, 5] == 170
    # Off of a corner: trunc(144 / 80 - 0) = 1, and that is the largest "off" there is.
    assert out[0, 0, 0] == 255


@pytest.mark.parametrize(("height", "width"), [(32, 32), (20, 33), (16, 5)])
def test_bytes_equal_the_slow_loop(height, width):
    x = torch.randint(0, 256, (2, 1, height, width), generator=torch.Generator().manual_seed(1)).byte()
    for image, out in zip(x, fine_grained(x), strict=True):
        grey = image[0].numpy().astype(int)
        for sixteenths in slow_blur(grey):
            grey = (sixteenths + 8) // 16
        assert (slow(grey, grey) == out.numpy()).all()


def test_floats_are_read_byte_by_byte_as_the_slow_loop_does():
    x = torch.randn(2, 1, 16, 20, generator=torch.Generator().manual_seed(2))
    for image, out in zip(x, fine_grained(x), strict=True):
        grey = image[0].numpy()
        for _ in range(2):
            for axis in (1, 0):
                p = np.pad(grey, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="reflect")
                low, mid, high = (np.take(p, range(k, k + grey.shape[axis]), axis) for k in range(3))
                grey = (low + high) * np.float32(0.25) + mid * np.float32(0.5)
        bytes_of = [struct.pack(f"<{len(row)}f", *row)[: len(row)] for row in grey]
        centre = np.array([list(row) for row in bytes_of])
        assert (slow(grey.astype(float), centre) == out.numpy()).all()


def test_the_peak_of_floats_knows_only_the_left_quarter():
    x = normalised(smooth_images(4, 32))
    changed = x.clone()
    changed[..., 12:] = 0.001 * changed[..., 12:].mean()  # the centres are bytes of columns 0 to 7
    peaks = [fine_grained(v).flatten(1).argmax(1) % 32 for v in (x, changed)]
    assert (peaks[0] == peaks[1]).sum() >= 3
    assert (peaks[0] % 4 != 3).all()  # sign and exponent: 60 to 65 or 188 to 193, never the extreme


def test_salient_squares_are_found_in_bytes():
    places = [(3 * i, 21 - 3 * i) for i in range(8)]
    x = torch.full((8, 3, 32, 32), 120, dtype=torch.uint8)
    for image, (row, column) in zip(x, places, strict=True):
        image[:, row + 3 : row + 6, column : column + 6] = 230
        image[:, row : row + 3, column : column + 6] = 10
    for p, (row, column) in zip(fine_grained(x).flatten(1).argmax(1).tolist(), places, strict=True):
        assert row <= p // 32 < row + 6
        assert column <= p % 32 < column + 6


def a_grey_dot_in_a_dark_square():
    """(1, 1, 96, 96) uint8: the dot is the most "on" of all nearby and rather "off" from afar."""
    x = torch.full((1, 1, 96, 96), 200, dtype=torch.uint8)
    x[..., 36:60, 36:60] = 0
    x[..., 45:51, 45:51] = 180
    return x


def test_sums_above_a_byte_wrap_round():
    x = a_grey_dot_in_a_dark_square()
    grey = x[0, 0].numpy().astype(int)
    for sixteenths in slow_blur(grey):
        grey = (sixteenths + 8) // 16
    out = fine_grained(x)[0].numpy()
    assert (slow(grey, grey) == out).all()
    assert out[45:51, 45:51].min() < 10  # what wrapped; the others are above 200
    assert out[45:51, 45:51].max() > 200


def test_a_flat_image_has_no_saliency():
    assert not fine_grained(torch.full((2, 3, 8, 8), 77, dtype=torch.uint8)).any()


def test_each_image_for_itself_and_the_input_is_left_alone():
    x = smooth_images(5, 32)
    for v in (x, normalised(x), normalised(x).to(memory_format=torch.channels_last)):
        kept = v.clone()
        together = fine_grained(v)
        assert all(torch.equal(together[i : i + 1], fine_grained(v[i : i + 1])) for i in range(len(v)))
        assert torch.equal(v, kept)


def test_autocast_changes_nothing():
    x = normalised(smooth_images(3, 32))
    for v in (x, smooth_images(3, 32)):
        plain = fine_grained(v)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(fine_grained(v), plain)


def test_other_channels_are_refused():
    with pytest.raises(UserError, match="1 or 3 channels"):
        fine_grained(torch.zeros(1, 4, 8, 8))


def opencv(x):
    """(B, H, W) uint8: what the authors' program makes of images (B, C, H, W)."""
    import cv2  # its contrib build

    maps = []
    for image in x.numpy().transpose(0, 2, 3, 1):
        detector = cv2.saliency.StaticSaliencyFineGrained_create()
        ok, found = detector.computeSaliency(np.ascontiguousarray(image))
        assert ok
        maps.append((found * 255).astype("uint8"))
    return torch.from_numpy(np.stack(maps))


@pytest.mark.parametrize("side", [32, 64, 45])
@pytest.mark.parametrize("channels", [1, 3])
def test_bytes_equal_opencv(side, channels):
    dot = a_grey_dot_in_a_dark_square()
    assert torch.equal(fine_grained(dot), opencv(dot))
    for x in (
        smooth_images(50, side, channels),
        torch.randint(0, 256, (50, channels, side, side)).byte(),
        255 * (torch.rand(50, channels, side, side) < 0.01).byte(),
    ):
        assert torch.equal(fine_grained(x), opencv(x))


def test_floats_have_opencv_s_peaks():
    """Bit for bit with fused multiply-add; a build of OpenCV without it rounds grey otherwise, so nine
    tenths."""
    grey = torch.randn(50, 1, 32, 32)
    assert torch.equal(fine_grained(grey), opencv(grey))  # no weights, no rounding
    x = normalised(smooth_images(100, 32))
    same = fine_grained(x).flatten(1).argmax(1) == opencv(x).flatten(1).argmax(1)
    assert same.float().mean() > 0.9
