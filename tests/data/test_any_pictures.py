"""A person's own pictures: every mode, every size, no folder to test on."""

import math
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from msda_train.core.errors import UserError
from msda_train.data import picture_arrays
from msda_train.data.dataset import Dataset
from msda_train.data.imagefolder import read_folder
from msda_train.data.moments import channel_moments, measured
from msda_train.data.picture_arrays import decode_all
from msda_train.data.resize import resized

RED, GREY = (200, 30, 10), 90


def _pixels(image: Image.Image, path: Path, **how: object) -> np.ndarray:
    image.save(path, **how)
    (pixels,) = decode_all([(str(path), str(path))], 1)
    return pixels


def test_every_mode_becomes_the_pixels_that_it_shows(tmp_path: Path) -> None:
    png, jpg = tmp_path / "a.png", tmp_path / "a.jpg"
    colour = Image.new("RGB", (6, 4), RED)
    assert (_pixels(colour, png) == RED).all()
    assert (_pixels(colour.convert("P", palette=Image.Palette.ADAPTIVE), png) == RED).all()
    assert _pixels(Image.new("L", (6, 4), GREY), png).shape == (4, 6, 1)
    assert (_pixels(Image.new("1", (6, 4), 1), png) == 255).all()
    for value, shown in ((0, 0), (255, 0), (256, 1), (GREY * 257, GREY), (65535, 255)):
        sixteen = Image.fromarray(np.full((4, 6), value, dtype=np.uint16))
        pixels = _pixels(sixteen, png)
        assert pixels.shape == (4, 6, 1)
        assert (pixels == shown).all()
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert np.abs(_pixels(inks, jpg, quality=95).astype(int) - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize("alpha", [0, 64, 255])
def test_what_is_transparent_lies_on_white(tmp_path: Path, alpha: int) -> None:
    """By hand: alpha of the colour, the rest white; grey with alpha stays grey."""
    path = tmp_path / "a.png"
    expected = [(alpha * c + (255 - alpha) * 255) / 255 for c in RED]
    pixels = _pixels(Image.new("RGBA", (6, 4), (*RED, alpha)), path)
    assert np.abs(pixels - expected).max() <= 1
    grey = _pixels(Image.new("LA", (6, 4), (GREY, alpha)), path)
    assert grey.shape == (4, 6, 1)
    assert abs(int(grey[0, 0, 0]) - (alpha * GREY + (255 - alpha) * 255) / 255) <= 1
    palette = Image.new("P", (6, 4), 1)
    palette.putpalette([0, 0, 0, *RED])
    pixels = _pixels(palette, path, transparency=bytes([255, alpha]))
    assert np.abs(pixels - expected).max() <= 1


def _box(image: np.ndarray, height: int, width: int) -> tuple[Fraction, Fraction, Fraction, Fraction]:
    """The slow way to say which part of an image is kept: top, left, height, width of the largest centred box
    of these proportions."""
    high, wide = image.shape[:2]
    scale = min(Fraction(high, height), Fraction(wide, width))
    return (high - scale * height) / 2, (wide - scale * width) / 2, scale * height, scale * width


@pytest.mark.parametrize(
    ("shape", "size"), [((40, 64), 8), ((64, 40), 8), ((30, 90), (6, 12)), ((60, 90), (20, 10)), ((8, 6), 12)]
)
def test_short_side_to_the_size_and_the_centre_cut_out(
    shape: tuple[int, int], size: int | tuple[int, int]
) -> None:
    """A slope is kept by any resampling that is right: each new pixel is the slope at its centre. So a slope
    down and one to the right say where every pixel was taken from."""
    down, right = np.mgrid[: shape[0], : shape[1]]
    image = np.stack([down * 2, right * 2, np.full(shape, 77)], axis=-1).astype(np.uint8)
    (made,) = resized(image[None], size)
    height, width = size if isinstance(size, tuple) else (size, size)
    assert made.shape == (height, width, 3)
    top, left, high, wide = map(float, _box(image, height, width))
    inner = slice(1, -1)  # at the border the filter meets the end of the slope
    rows = 2 * (top + (np.arange(height) + 0.5) * high / height - 0.5)
    columns = 2 * (left + (np.arange(width) + 0.5) * wide / width - 0.5)
    assert np.abs(made[inner, inner, 0] - rows[inner, None]).max() <= 1.01
    assert np.abs(made[inner, inner, 1] - columns[None, inner]).max() <= 1.01
    assert (made[..., 2] == 77).all()


def test_shrinking_is_antialiased_and_the_same_size_changes_nothing() -> None:
    stripes = np.zeros((1, 64, 64, 1), dtype=np.uint8)
    stripes[:, :, ::2] = 255
    small = resized(stripes, 8)
    assert small.shape == (1, 8, 8, 1)
    assert np.abs(small.astype(int) - 127).max() <= 8  # taking every eighth pixel would give 255 or 0
    noise = np.random.default_rng(0).integers(0, 256, (2, 8, 6, 3), dtype=np.uint8)
    assert resized(noise, (8, 6)) is noise


def test_a_large_jpeg_is_decoded_small_and_looks_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a photo of 1600x1024 pixels for 32x32 an eighth of each side is decoded."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    path = tmp_path / "a.jpg"
    Image.fromarray(noise).resize((1600, 1024), Image.Resampling.BICUBIC).save(path, quality=95)
    (fast,) = decode_all([("a", str(path))], 1, 32)
    monkeypatch.setattr(picture_arrays, "DRAFT", 10**6)
    (whole,) = decode_all([("a", str(path))], 1, 32)
    difference = np.abs(fast.astype(int) - whole)
    assert 0 < difference.mean() < 0.5
    assert difference.max() <= 2


@pytest.fixture
def phone(tmp_path: Path) -> Path:
    """Three classes of ten pictures of six sizes and seven modes, and no train/ or test/."""
    rng = np.random.default_rng(0)
    sizes = [(40, 30), (30, 40), (33, 33), (90, 20), (64, 48), (17, 23)]
    root = tmp_path / "phone"
    for label, name in enumerate(("cat", "dog", "owl")):
        (root / name).mkdir(parents=True)
        for k in range(10):
            wide, high = sizes[(label + k) % 6]
            pixels = rng.integers(0, 256, (high, wide, 3), dtype=np.uint8)
            mode = ("RGB", "L", "CMYK", "P", "RGBA", "LA", "RGB")[k % 7]
            ending = "jpg" if mode in ("RGB", "CMYK") else "png"
            Image.fromarray(pixels).convert(mode).save(root / name / f"{k}.{ending}")
    return root


def test_a_folder_of_all_modes_and_sizes(phone: Path) -> None:
    own = Dataset("own", root=str(phone), size=16, test_share=0.2)
    images = own.examples()
    assert images.x_train.shape == (24, 16, 16, 3)
    assert images.x_test.shape == (6, 16, 16, 3)
    assert images.classes == ("cat", "dog", "owl")
    np.testing.assert_array_equal(np.bincount(images.y_test), [2, 2, 2])
    wide = Dataset("own", root=str(phone), size=(8, 12), test_share=0.2).examples()
    assert wide.shape == (3, 8, 12)
    assert wide.content != images.content
    assert own.prepared()
    assert "dataset.size=16 dataset.test_share=0.2" in own.command("prepare")
    assert not Dataset("own", root=str(phone), size=20, test_share=0.2).prepared()
    assert not Dataset("own", root=str(phone), size=16, test_share=0.3).prepared()
    assert not Dataset("own", root=str(phone), size=16, test_share=0.2, split_seed=1).prepared()


def test_the_share_to_test_on_is_one_of_the_images_not_of_their_names(phone: Path) -> None:
    def test_set(seed: int) -> set[bytes]:
        images = Dataset("own", root=str(phone), size=16, test_share=0.2, split_seed=seed).examples()
        assert not set(map(bytes, images.x_test)) & set(map(bytes, images.x_train))
        return set(map(bytes, images.x_test))

    first, other = test_set(0), test_set(1)
    assert first != other
    (phone / "train").mkdir()
    for folder in ("cat", "dog", "owl"):
        for path in list((phone / folder).iterdir()):
            path.rename(path.with_name(f"{99 - int(path.stem)}{path.suffix}"))
        (phone / folder).rename(phone / "train" / folder)
    assert test_set(0) == first


def test_copies_on_both_sides_are_told(phone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in list(phone.rglob("*.png")):
        path.with_name(f"copy {path.name}").write_bytes(path.read_bytes())
    arrays = read_folder(phone, size=8, test_share=0.5)
    known = set(map(bytes, arrays.x_train))
    twice = sum(bytes(x) in known for x in arrays.x_test)
    assert twice > 0
    assert f"{twice} test images are training images, too, pixel for pixel" in capsys.readouterr().err


def test_what_is_wrong_with_a_folder_is_one_line(phone: Path, tmp_path: Path) -> None:
    def refused(message: str, root: Path = phone, **options: object) -> None:
        with pytest.raises(UserError, match=message) as caught:
            read_folder(root, **options)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)

    refused("no test/ or val/ in it; type dataset.test_share=0.2")
    refused(r"\d+x\d+ pixels, but .* has .*; type dataset.size=64", test_share=0.2)
    for name in ("cat/3.png", "owl/6.jpg", "owl/7.jpg"):
        (phone / name).write_bytes((phone / name).read_bytes()[:70] if "3" in name else b"no picture")
    refused(
        r"cat/3.png: not a readable image \(.*\), and 2 more are none: .*owl/6.jpg, .*owl/7.jpg; replace or "
        "delete them$",
        size=8,
        test_share=0.2,
    )
    up = tmp_path / "up"
    (up / "images").mkdir(parents=True)
    os.rename(phone, up / "images" / "photos")
    refused(f"{up}/images/photos holds the classes; type dataset.root={up}/images/photos$", up)
    os.rename(up / "images" / "photos", up / "train")
    refused("no test/ or val/", up)
    (up / "test").mkdir()
    refused(f"dataset.test_share=0.2: {up}/test is there to test on; leave it out", up, test_share=0.2)
    (up / "test").rmdir()
    (up / "photos").mkdir()
    os.rename(up / "train", up / "photos" / "train")
    refused(f"{up}/photos holds the classes; type dataset.root={up}/photos$", up)
    deep = tmp_path / "deep"
    (deep / "train").mkdir(parents=True)
    os.rename(up / "photos" / "train", deep / "train" / "images")
    refused(f"{deep}/train/images holds the classes; move them one level up", deep, test_share=0.2)
    (tmp_path / "lone").mkdir()
    os.rename(deep / "train" / "images" / "cat", tmp_path / "lone" / "cat")
    refused(r"one class folder only \(cat\)", tmp_path / "lone", test_share=0.2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "dataset.size=0: must be a whole number, at least 1"),
        ({"size": 10**6}, "dataset.size=1000000: at most 8192"),
        ({"size": [8]}, r"dataset.size=\[8\]: must be one number, or height and width; type dataset.size=64"),
        ({"size": [64, 64]}, r"dataset.size=\[64, 64\]: is a square; type dataset.size=64"),
        ({"test_share": 1.0}, "dataset.test_share=1.0: above 0, below 1"),
        ({"test_share": 0.2, "source": "npz"}, "source=npz has its own test images; leave it out"),
        ({"test_share": 0.2, "split_seed": None}, "dataset.split_seed=None: must be a whole number"),
        ({"mean": "measure"}, "dataset.mean=measure: unknown; type auto"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Dataset("own", root=str(tmp_path), **options).examples()  # type: ignore[arg-type]


def test_more_pictures_than_memory(phone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_arrays, "memory", lambda: 2**20)
    with pytest.raises(UserError, match=r"30 images of 2000x2000 pixels need 1 GiB .*a smaller dataset.size"):
        read_folder(phone, size=2000, test_share=0.2)


def test_arrays_are_resized_too_and_their_own_size_changes_nothing(
    draw: Callable, write_npz: Callable
) -> None:
    root = str(write_npz(*draw()))
    plain = Dataset("own", "npz", root).examples()
    large = Dataset("own", "npz", root, size=12).examples()
    assert (plain.size, large.size) == ((8, 8), (12, 12))
    assert Dataset("own", "npz", root, size=8).examples().content == plain.content


def test_moments_are_those_of_all_pixels(draw: Callable) -> None:
    (x, _), _ = draw()
    mean, std = channel_moments(x)
    pixels = x.reshape(-1, 3) / 255
    for c in range(3):
        slow = math.fsum(pixels[:, c]) / len(pixels)
        assert mean[c] == pytest.approx(slow, abs=1e-12)
        deviation = math.sqrt(math.fsum((pixels[:, c] - slow) ** 2) / len(pixels))
        assert std[c] == pytest.approx(deviation, abs=1e-12)
    assert measured(x)["mean"] == [round(float(value), 4) for value in mean]
