"""CUB-200-2011 on a small copy in the official layout: lists joined by number, pixels squeezed with boxes."""

import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from msda_train.core.errors import UserError
from msda_train.data.cub200 import TOP, Cub200

SIZES = [(60, 40), (40, 80), (100, 50), (50, 50), (30, 90), (64, 64)]  # width, height
BOXES = [
    (6, 4, 20, 10),
    (10, 20, 20, 40),
    (0, 0, 100, 50),
    (5, 5, 10, 30),
    (3, 60, 20, 21),
    (32, 0, 31.5, 64),
]
TRAIN = [1, 0, 1, 0, 0, 1]


def write(folder: Path, boxes: list[tuple[float, ...]] = BOXES) -> Path:
    """Six images of two classes, listed against the order of their names; the object is the white box."""
    top = folder / TOP
    rows: dict[str, list[str]] = {
        name: [] for name in ("images", "image_class_labels", "train_test_split", "bounding_boxes")
    }
    for k, (size, box) in enumerate(zip(SIZES, BOXES, strict=True)):
        name = f"00{k % 2 + 1}.Bird/{'zyxwvu'[k]}.jpg"
        (top / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        picture = Image.new("RGB", size, (20, 20, 20))
        left, upper, width, height = box
        ImageDraw.Draw(picture).rectangle((left, upper, left + width - 1, upper + height - 1), fill="white")
        picture.save(top / "images" / name, quality=98)
        for key, value in zip(
            rows, (name, k % 2 + 1, TRAIN[k], " ".join(f"{side:.1f}" for side in boxes[k])), strict=True
        ):
            rows[key].append(f"{k + 1} {value}")
    rows["classes"] = ["1 001.Bird", "2 002.Bird"]
    for key, lines in rows.items():
        (top / f"{key}.txt").write_text("\n".join(lines) + "\n")
    return top


def pack(folder: Path) -> None:
    """The archive in the place of the folder; images first, and a file beside the folder, as the real one."""
    with tarfile.open(folder / f"{TOP}.tgz", "w:gz") as archive:
        info = tarfile.TarInfo("attributes.txt")
        archive.addfile(info, BytesIO())
        archive.add(folder / TOP / "images", f"{TOP}/images")
        for path in sorted((folder / TOP).glob("*.txt")):
            archive.add(path, f"{TOP}/{path.name}")
            path.unlink()


def test_pixels_labels_and_boxes_belong_together(tmp_path: Path) -> None:
    """The box of each test image, in the cache's own order, holds what is white in it."""
    write(tmp_path)
    cub = Cub200("cub200", "download", str(tmp_path), size=100)
    images = cub.examples()
    assert (images.n_train, images.n_test, images.shape) == (3, 3, (3, 100, 100))
    assert images.classes == ("001.Bird", "002.Bird")
    assert sorted(images.y_train.tolist()) == [0, 0, 1]
    assert not images.complete
    assert images.boxes_test is not None
    assert images.boxes_test.shape == (3, 1, 4)
    for x, (box,) in zip(images.x_test, images.boxes_test, strict=True):
        rows, columns = np.nonzero(x[..., 0] > 135)
        seen = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        np.testing.assert_allclose(box, seen, atol=1.5)
    again = Cub200("cub200", "download", str(tmp_path), size=100).examples()
    np.testing.assert_array_equal(again.boxes_test, images.boxes_test)  # from the cache
    half = Cub200("cub200", "download", str(tmp_path), size=100, test_subset=2).examples()
    where = [int(np.flatnonzero((images.x_test == x).all(axis=(1, 2, 3)))[0]) for x in half.x_test]
    np.testing.assert_array_equal(half.boxes_test, images.boxes_test[where])


def test_the_archive_gives_the_same(tmp_path: Path) -> None:
    write(tmp_path)
    cub = Cub200("cub200", "download", str(tmp_path), size=32)
    unpacked = cub.read_official(tmp_path)
    pack(tmp_path)
    packed = cub.read_official(tmp_path)
    for key in ("x_train", "y_train", "x_test", "y_test", "boxes_test"):
        np.testing.assert_array_equal(getattr(packed, key), getattr(unpacked, key))


def test_another_size_is_another_source(tmp_path: Path) -> None:
    write(tmp_path)
    small, large = (Cub200("cub200", "download", str(tmp_path), size=side).examples() for side in (16, 24))
    assert (small.size, large.size) == ((16, 16), (24, 24))
    assert small.content != large.content


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (
            (50.0, 10.0, 20.0, 40.0),
            r"y.jpg: its box 50, 10, 70, 50 does not lie in the image of 40x80 pixels",
        ),
        ((10.0, 10.0, 0.0, 40.0), r"y.jpg: its box 10, 10, 10, 50 does not lie in"),
    ],
)
def test_a_box_outside_its_image_is_named(tmp_path: Path, box: tuple, message: str) -> None:
    write(tmp_path, [BOXES[0], box, *BOXES[2:]])
    with pytest.raises(UserError, match=message):
        Cub200("cub200", "download", str(tmp_path)).examples()


def test_lists_that_do_not_fit_and_broken_images_are_named(tmp_path: Path) -> None:
    top = write(tmp_path)
    cub = Cub200("cub200", "download", str(tmp_path))
    (top / "images" / "001.Bird" / "z.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"images/001.Bird/z.jpg: not a readable image"):
        cub.examples()
    (top / "images" / "001.Bird" / "z.jpg").unlink()
    with pytest.raises(UserError, match="damaged or not the official layout"):
        cub.examples()
    with pytest.raises(UserError, match=r"dataset.size=0: must be a whole number"):
        Cub200("cub200", size=0)
