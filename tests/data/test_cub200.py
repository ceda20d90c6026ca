"""CUB-200-2011 on a small copy in the official layout: lists joined by number, pixels squeezed with boxes."""

import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from msda_train.core.errors import UserError
from msda_train.data.cub200 import TOP, Cub200
from msda_train.data.cub200_files import Cub200Files
from msda_train.data.reading import Augment, Reader, Task

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


def test_streamed_the_box_holds_what_is_white_in_the_middle(tmp_path: Path) -> None:
    """Squeezed to 100 pixels, of which testing sees the middle 88."""
    write(tmp_path)
    birds = Cub200Files(name="cub200_files", source="imagefolder", root=str(tmp_path), size=88, resize=100)
    images: Any = birds.examples()
    assert (images.n_train, images.n_test, images.shape) == (3, 3, (3, 88, 88))
    assert images.classes == ("001.Bird", "002.Bird")
    assert sorted(images.y_train.tolist()) == [0, 0, 1]
    whole = Cub200("cub200", "download", str(tmp_path), size=100).examples()
    assert sorted(images.y_test.tolist()) == sorted(whole.y_test.tolist())
    table = images.boxes_test[0:3]
    assert table.shape == (3, 1, 4)
    for pixels, (left, top, right, bottom) in zip(np.asarray(images.x_test), table[:, 0], strict=True):
        rows, columns = (np.flatnonzero((pixels.mean(axis=2) > 127).any(axis=axis)) for axis in (1, 0))
        seen = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        np.testing.assert_allclose((left, top, right, bottom), seen, atol=1.5)
    some = images.boxes_test[np.array([2])]
    np.testing.assert_array_equal(some[0:1], table[2:3])


def test_streamed_training_moves_a_window_of_the_squeezed_picture(tmp_path: Path) -> None:
    write(tmp_path)
    birds = Cub200Files(name="cub200_files", source="imagefolder", root=str(tmp_path), size=88, resize=100)
    files: Any = birds.examples().x_train
    with Image.open(Path(files.root, files.name(0).decode())) as picture:
        whole = np.asarray(files.look.resized(picture.convert("RGB")))
    assert whole.shape == (100, 100, 3)
    windows = np.lib.stride_tricks.sliding_window_view(whole, (88, 88), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    places = set()
    for epoch in range(12):
        pixels, _ = Reader(files.root, files.look, Augment())[
            Task(files.name(0), b"", (0, "augment", epoch, 0))
        ]
        (found, *_) = np.argwhere((windows == pixels).all(axis=(2, 3, 4)))
        places.add(tuple(found.tolist()))
    assert len(places) > 6


def test_streamed_folders_that_are_no_birds(tmp_path: Path) -> None:
    birds = Cub200Files(name="cub200_files", source="imagefolder", root=str(tmp_path))
    with pytest.raises(UserError, match=r"no CUB_200_2011/images.txt in it; unpack"):
        birds.examples()
    (write(tmp_path) / "bounding_boxes.txt").unlink()
    with pytest.raises(UserError, match="its lists cannot be read"):
        birds.examples()
