import numpy as np
import pytest
import torch

from msda_train.functional import masks

CPU = torch.device("cpu")


def _box(lam, centre, ratio=1.0):
    return masks.centred_box(np.array([lam]), np.array([centre]), 32, 32, ratio)


@pytest.mark.parametrize(
    ("lam", "centre", "edges", "kept"),
    [
        (0.65, (16, 16), (7, 25, 7, 25), 0.68359375),
        (0.65, (2, 30), (0, 11, 21, 32), 0.8818359375),
        (0.3, (16, 16), (3, 29, 3, 29), 0.33984375),
        (0.9, (0, 0), (0, 5, 0, 5), 0.9755859375),
        (0.999, (16, 16), (16, 16, 16, 16), 1.0),  # a side of 1 is no box
    ],
)
def test_cutmix_boxes(lam, centre, edges, kept):
    found = _box(lam, centre)
    assert tuple(found[0]) == edges
    assert masks.kept_share(found, 32, 32)[0] == kept


@pytest.mark.parametrize(
    ("centre", "edges", "kept"),
    [((16, 16), (10, 22, 10, 22), 0.859375), ((2, 30), (0, 8, 24, 32), 0.9375)],
)
def test_hmix_boxes(centre, edges, kept):
    found = _box(0.65, centre, ratio=0.5)
    assert tuple(found[0]) == edges
    assert masks.kept_share(found, 32, 32)[0] == kept


def test_continuous_corners_are_rounded_and_clipped():
    found = masks.continuous_box(np.array([0.64, 0.64]), np.array([[16.0, 16.3], [1.0, 31.9]]), 32, 32)
    assert tuple(found[0]) == (6, 26, 7, 26)  # half a side is 9.6
    assert tuple(found[1]) == (0, 11, 22, 32)


def test_box_mask_equals_slicing():
    edges = np.array([[1, 3, 2, 5], [0, 0, 0, 5], [0, 4, 0, 6]])
    expected = torch.ones(3, 1, 4, 6)
    for mask, (top, bottom, left, right) in zip(expected, edges, strict=True):
        mask[0, top:bottom, left:right] = 0
    assert torch.equal(masks.box_mask(edges, 4, 6, CPU), expected)
    assert torch.equal(masks.box_mask(torch.from_numpy(edges), 4, 6, CPU), expected)


def test_blob_equals_the_formula_pixel_by_pixel():
    found = masks.blob_mask(np.array([0.25, 0.0]), np.array([[2, 5], [0, 0]]), 6, 8, CPU)
    for row in range(6):
        for column in range(8):
            d2 = (row - 2) ** 2 + (column - 5) ** 2
            assert found[0, 0, row, column].item() == pytest.approx(
                np.exp(-np.pi * d2 / (0.25 * 48)), rel=1e-5
            )
    assert torch.equal(found[1], torch.zeros(1, 6, 8))


def test_shrunk_boxes_are_moved_inside_or_clipped():
    scale, centre = np.array([0.5, 0.5, 0.35, 0.01]), np.array([[0, 0], [9, 15], [5, 8], [0, 15]])
    shifted = masks.shrunk_box(scale, centre, 10, 16, "shift")
    assert shifted.tolist() == [[0, 5, 0, 8], [5, 10, 8, 16], [4, 7, 6, 11], [0, 1, 15, 16]]
    clipped = masks.shrunk_box(scale, centre, 10, 16, "clip")
    assert clipped.tolist() == [[0, 2, 0, 4], [7, 10, 11, 16], [4, 6, 6, 10], [0, 0, 15, 15]]


def test_nearest_index_equals_torch_for_all_sizes():
    """Also where the scale is not exact in float32, and there is a last bit to lose."""
    line = torch.arange(47.0)
    for size in range(1, 48):
        found = masks.nearest_index(np.array([0]), np.array([47 / size]), 47)[0, :size]
        assert found.tolist() == torch.nn.functional.interpolate(line[None, None], size=size)[0, 0].tolist()
    for scale in np.random.default_rng(0).uniform(0.1, 1, 200):
        expected = torch.nn.functional.interpolate(line[None, None], scale_factor=float(scale))[0, 0]
        found = masks.nearest_index(np.array([0]), np.array([1 / scale]), 47)[0, : len(expected)]
        assert found.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("start", "extent", "wrap", "clip"),
    [
        (0, 8, "##.##.##", "##.##.##"),
        (1, 5, ".##.##..", ".##.##.."),
        (-1, 8, "..##.##.", "#.##.##."),  # the hole at -1, 0 straddles the beginning: lost
        (-4, 12, "..#####.", "#.##.##."),  # -4, -3 land at 4, 5; -1, 0 are lost
        (6, 5, "......##", "......##"),
    ],
)
def test_holes_on_a_line(start, extent, wrap, clip):
    """By hand, holes of 2 every 3 pixels; the rule is that of a Python list's slices."""
    for overhang, expected in (("wrap", wrap), ("clip", clip)):
        found = masks.hole_line(8, start, extent, 3, 2, overhang)
        assert "".join("#" if hole else "." for hole in found) == expected


@pytest.mark.parametrize(("height", "width"), [(6, 8), (5, 7), (3, 12)])
@pytest.mark.parametrize("spectrum", ["code", "paper"])
def test_low_frequency_images_equal_a_slow_transform(height, width, spectrum):
    found = masks.low_frequency_images(np.random.default_rng(4), 2, height, width, 2.0, spectrum)
    rng = np.random.default_rng(4)

    def wave(k, n, position):
        return np.exp(2j * np.pi * k * position / n)

    slow = np.zeros((2, height, width))
    least = 1 / max(height, width)
    if spectrum == "paper":
        noise = rng.standard_normal((2, 2, height, width))
        terms = [(v, h) for v in range(height) for h in range(width)]
    else:
        many = width // 2 + 1 + width % 2
        noise = rng.standard_normal((2, 2, many, 2))
        terms = [(v, h) for v in range(min(many, height)) for h in range(2)]
    for i in range(2):
        for row in range(height):
            for column in range(width):
                for v, h in terms:
                    if spectrum == "paper":
                        f = np.hypot(min(v, height - v) / height, min(h, width - h) / width)
                        z = (noise[0, i, v, h] + 1j * noise[1, i, v, h]) / max(f, least) ** 2
                        twice = 1
                    else:  # v counts vertical waves but carries the scale of the v-th horizontal one
                        across = min(v, width - v) / width
                        z = noise[i, 0, v, h] / max(across, least) ** 2
                        z += 1j * noise[i, 1, v, h] / max(np.hypot(1 / height, across), least) ** 2
                        twice = 1 + h
                    value = z * wave(v, height, row) * wave(h, width, column)
                    slow[i, row, column] += twice * value.real / (height * width)
    np.testing.assert_allclose(found, slow, rtol=1e-9, atol=1e-9)


def test_power_falls_with_the_frequency():
    """Amplitude 1 / f^3 means power 1 / f^6: between f = 2/32 and 8/32 a factor of 4^6."""
    images = masks.low_frequency_images(np.random.default_rng(0), 4000, 32, 32, 3.0, "paper")
    power = (np.abs(np.fft.fft2(images)) ** 2).mean(axis=0)
    for there, here in (((0, 8), (0, 2)), ((8, 0), (2, 0)), ((8, 8), (2, 2))):
        assert power[here] / power[there] == pytest.approx(4**6, rel=0.12)
    assert power[0, 3] == pytest.approx(power[3, 0], rel=0.12)
    code = masks.low_frequency_images(np.random.default_rng(0), 50, 32, 32, 3.0, "code")
    spectrum = np.abs(np.fft.fft2(code)) ** 2
    assert spectrum[:, :, 2:31].max() < 1e-12 * spectrum.max()  # sideways at most one wave


def test_top_share_keeps_the_count():
    images = np.random.default_rng(0).standard_normal((4, 5, 6))
    count, soft = np.array([0, 30, 11, 15]), np.array([0, 0, 0, 6])
    found = masks.top_share(images, count, soft)
    assert found.sum(axis=(1, 2)) == pytest.approx(count)
    assert set(found[2].flatten()) == {0, 1}
    assert images[2][found[2] == 1].min() > images[2][found[2] == 0].max()
    assert sorted(found[3].flatten())[::-1] == pytest.approx([1] * 9 + list(np.linspace(1, 0, 12)) + [0] * 9)
