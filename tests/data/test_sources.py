"""npz files and image folders: read right, and refused with one line that names the file."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from msda_train.core.errors import UserError
from msda_train.data.content import content_as_stored, in_canonical_order
from msda_train.data.dataset import Dataset
from msda_train.data.examples import Arrays
from msda_train.data.imagefolder import read_folder
from msda_train.data.npz import read_npz

Make = Callable[..., Path]


def _refused(read: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read()
    assert "\n" not in str(caught.value)


def test_npz_and_folder_of_the_same_images_are_one_content(
    draw: Callable, write_npz: Make, write_folder: Make
) -> None:
    train, test = draw()
    a = Dataset("own", "npz", str(write_npz(train, test))).examples()
    b = Dataset("own", "imagefolder", str(write_folder(train, test))).examples()
    assert a.content == b.content
    for key in ("x_train", "y_train", "x_test", "y_test"):
        np.testing.assert_array_equal(getattr(a, key), getattr(b, key))
    assert b.classes == ("c0", "c1", "c2")
    assert not a.complete
    assert (a.channels, a.size, a.n_train, a.n_test, a.n_classes) == (3, (8, 8), 30, 12, 3)


def test_canonical_order_forgets_the_order_of_the_source_and_knows_its_pixels(draw: Callable) -> None:
    (x, y), (xt, yt) = draw()
    x[5], y[5] = x[2], y[2]  # an exact repeat
    one, content = in_canonical_order(Arrays(x, y, xt, yt, ("a", "b", "c")))
    p = np.random.default_rng(0).permutation(len(x))
    two, same = in_canonical_order(Arrays(x[p], y[p], xt[::-1], yt[::-1], ("a", "b", "c")))
    assert content == same == content_as_stored(one)
    np.testing.assert_array_equal(one.x_train, two.x_train)
    np.testing.assert_array_equal(one.y_train, two.y_train)
    assert sorted(map(bytes, one.x_train)) == sorted(map(bytes, x))
    x[0, 0, 0, 0] ^= 1
    assert in_canonical_order(Arrays(x, y, xt, yt, ("a", "b", "c")))[1] != content


def test_content_knows_labels_splits_shape_and_number_of_classes(draw: Callable) -> None:
    (x, y), (xt, yt) = draw()
    names = ("a", "b", "c")
    other = [
        Arrays(x, (y + 1) % 3, xt, yt, names),
        Arrays(xt, yt, x, y, names),
        Arrays(x.reshape(-1, 4, 16, 3), y, xt.reshape(-1, 4, 16, 3), yt, names),
        Arrays(x, y, xt, yt, (*names, "d")),
        Arrays(x, y, xt, yt, names),
    ]
    assert len({in_canonical_order(arrays)[1] for arrays in other}) == 5


def test_npz_classes_and_root_as_a_folder(draw: Callable, write_npz: Make) -> None:
    train, test = draw()
    path = write_npz(train, test, "birds.npz", classes=np.array(["owl", "rook", "wren"]))
    images = Dataset("birds", "npz", str(path.parent)).examples()
    assert images.classes == ("owl", "rook", "wren")
    assert images.name == "birds"


def test_npz_refusals(draw: Callable, write_npz: Make, tmp_path: Path) -> None:
    train, test = draw()
    path = write_npz(train, test)
    raw = path.read_bytes()
    for name, content in {"cut": raw[: len(raw) // 2], "text": b"hello", "empty": b""}.items():
        bad = tmp_path / f"{name}.npz"
        bad.write_bytes(content)
        _refused(lambda bad=bad: read_npz(bad), rf"^dataset.root={bad}: .*npz")
    flipped = bytearray(raw)
    flipped[2000] ^= 0xFF
    path.write_bytes(flipped)
    _refused(lambda: read_npz(path), "damaged or not an npz file")
    np.save(tmp_path / "one.npy", train[0])
    _refused(lambda: read_npz(tmp_path / "one.npy"), "not an npz file of plain arrays")
    objects = write_npz(train, test, "objects.npz", classes=np.array(["a", None], dtype=object))
    _refused(lambda: read_npz(objects), "not an npz file of plain arrays")
    numbers = write_npz(train, test, "numbers.npz", classes=np.arange(3))
    _refused(lambda: read_npz(numbers), "classes has shape .* give one string per class")


@pytest.mark.parametrize(("second", "ending"), [("val", "PNG"), ("test", "JPG"), ("test", "jpeg")])
def test_folder_endings_and_val(draw: Callable, write_folder: Make, second: str, ending: str) -> None:
    train, test = draw()
    root = write_folder(train, test, second, ending)
    (root / "train" / "c0" / ".DS_Store").write_bytes(b"x")
    (root / "train" / "c0" / "notes.txt").write_text("x")
    arrays = read_folder(root)
    assert arrays.x_train.shape == (30, 8, 8, 3)
    np.testing.assert_array_equal(np.bincount(arrays.y_test), [4, 4, 4])


def test_folder_grey_only_if_all_are_grey(draw: Callable, write_folder: Make) -> None:
    train, test = draw(shape=(8, 8, 1))
    root = write_folder(train, test)
    assert read_folder(root).x_train.shape == (30, 8, 8, 1)
    colour = root / "test" / "c1" / "colour.png"
    Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8)).save(colour)
    arrays = read_folder(root)
    assert arrays.x_train.shape == (30, 8, 8, 3)
    np.testing.assert_array_equal(arrays.x_train[..., 0], arrays.x_train[..., 2])


def test_folder_palette_and_alpha_become_rgb(draw: Callable, write_folder: Make) -> None:
    root = write_folder(*draw())
    clear = Image.new("RGBA", (8, 8), (10, 20, 30, 128))
    clear.save(root / "train" / "c0" / "alpha.png")
    clear.convert("P").save(root / "train" / "c0" / "palette.png", transparency=b"\x00\x80")
    assert read_folder(root).x_train.shape == (32, 8, 8, 3)


def test_folder_refusals(draw: Callable, write_folder: Make, tmp_path: Path) -> None:
    _refused(lambda: read_folder(tmp_path / "nowhere"), "no such folder; the layout is train/CLASS")
    root = write_folder(*draw())
    _refused(lambda: read_folder(root / "train" / "c0"), "no train/ in it; the layout is")
    _refused(lambda: read_folder(root, official_classes=2), "3 classes, but .* has 2; .*dataset=own")
    one = root / "train" / "c0" / "999.png"
    raw = one.read_bytes()
    one.write_bytes(raw[:60])
    _refused(lambda: read_folder(root), f"{one}: not a readable image")
    one.write_bytes(b"no image at all")
    _refused(lambda: read_folder(root), f"{one}: not a readable image")
    Image.new("RGB", (9, 8)).save(one)
    _refused(lambda: read_folder(root), r"\.png: \dx8 pixels, but .* has \dx8; type dataset.size=64")
    one.write_bytes(raw)
    for name, message in {
        "train/c0/deep/a.png": "an image must lie directly in its class's folder",
        "train/c0/a.webp": "only png and jpg are read",
        "train/c9/a.txt": "c9: no png or jpg image in it",
        "test/c9/a.png": "class 'c9' is in the test folder but not in train",
    }.items():
        odd = root / name
        odd.parent.mkdir(exist_ok=True)
        odd.write_bytes(raw)
        _refused(lambda: read_folder(root), message)
        odd.unlink()
        if not list(odd.parent.iterdir()):
            odd.parent.rmdir()
    read_folder(root)


def test_an_image_is_turned_as_its_exif_says(tmp_path: Path, draw: Callable, write_folder: Make) -> None:
    """Orientation 6: the camera was turned, viewers show the picture a quarter to the right."""
    root = write_folder(*draw())
    plain = read_folder(root)
    path = sorted((root / "train").rglob("*.png"))[0]
    with Image.open(path) as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(path, exif=exif)
    turned = read_folder(root)
    (k,) = [k for k in range(len(plain.x_train)) if not np.array_equal(plain.x_train[k], turned.x_train[k])]
    np.testing.assert_array_equal(turned.x_train[k], np.rot90(plain.x_train[k], -1))


def test_what_is_no_image_is_counted_and_every_jpeg_is_read(
    draw: Callable, write_folder: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_folder(*draw())
    n = len(read_folder(root).x_train)
    first = sorted((root / "train").rglob("*.png"))[0]
    for ending in (".jfif", ".JPE", ".jpeg"):
        with Image.open(first) as image:
            image.save(first.with_suffix(ending), "JPEG")
    (first.parent / "Thumbs.db").write_bytes(b"x")
    (first.parent / "notes.txt").write_text("x")
    assert len(read_folder(root).x_train) == n + 3
    said = capsys.readouterr().err
    assert "2 files are no images and left out, such as c0/Thumbs.db" in said
    for ending in (".heic", ".avif", ".jp2", ".webp"):
        odd = first.with_suffix(ending)
        odd.write_bytes(b"x")
        _refused(lambda: read_folder(root), f"{odd.name}: only png and jpg are read")
        odd.unlink()


def test_an_npz_larger_than_the_memory_is_one_line(tmp_path: Path) -> None:
    """A header may claim anything; so may a zip of zeros."""
    path = tmp_path / "set.npz"
    header = {"descr": "|u1", "fortran_order": False, "shape": (10**12, 32, 32, 3)}
    with zipfile.ZipFile(path, "w") as archive, archive.open("x_train.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, header)
    _refused(lambda: read_npz(path), "larger than the memory|not an npz file of plain arrays")


def test_an_npz_that_unpacks_to_more_than_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "set.npz"
    np.savez_compressed(path, x_train=np.zeros((64, 64, 64, 3), np.uint8))
    monkeypatch.setattr("os.sysconf", lambda name: 512 if name == "SC_PAGE_SIZE" else 1)
    _refused(lambda: read_npz(path), "its arrays take .* GiB, this machine has")
