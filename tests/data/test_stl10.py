"""STL-10 on small files in the official format."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from msda_train.core.errors import UserError
from msda_train.data.stl10 import Stl10

NAMES = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]


def pictures(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 96, 96, 3), dtype=np.uint8), np.arange(n) % 10


def columns_first(x: np.ndarray) -> bytes:
    """Pixel by pixel, as the format has them: image, channel, column, row."""
    n = len(x)
    out = bytearray()
    for i in range(n):
        for channel in range(3):
            for column in range(96):
                out += x[i, :, column, channel].tobytes()
    return bytes(out)


def members(train: tuple, test: tuple) -> dict[str, bytes]:
    made = {"class_names.txt": "\n".join(NAMES).encode() + b"\n", "fold_indices.txt": b"0 1\n"}
    for split, (x, y) in (("test", test), ("train", train)):
        made |= {f"{split}_X.bin": columns_first(x), f"{split}_y.bin": (y + 1).astype(np.uint8).tobytes()}
    return {**made, "unlabeled_X.bin": b"\x07" * 300}


def write(folder: Path, content: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "stl10_binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        top = tarfile.TarInfo("stl10_binary")
        top.type = tarfile.DIRTYPE
        archive.addfile(top)
        for name, raw in content.items():
            info = tarfile.TarInfo(f"stl10_binary/{name}")
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
    return path


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    return members(pictures(20, 1), pictures(10, 2))


def test_rows_and_columns_are_where_the_format_says(tmp_path: Path, made: dict[str, bytes]) -> None:
    write(tmp_path, made)
    arrays = Stl10("stl10", "download").read_official(tmp_path)
    np.testing.assert_array_equal(arrays.x_train, pictures(20, 1)[0])
    np.testing.assert_array_equal(arrays.y_train, pictures(20, 1)[1])
    np.testing.assert_array_equal(arrays.x_test, pictures(10, 2)[0])
    assert arrays.classes == tuple(NAMES)


def test_an_unpacked_folder_is_taken_without_a_download(data_folder: Path, made: dict[str, bytes]) -> None:
    top = data_folder / "stl10" / "stl10_binary"
    top.mkdir(parents=True)
    for name, raw in made.items():
        (top / name).write_bytes(raw)
    stl = Stl10("stl10", "download")
    images = stl.examples()
    assert (images.n_train, images.n_test, images.size) == (20, 10, (96, 96))
    assert not images.complete
    before = stl.official_facts(data_folder / "stl10")
    (top / "train_y.bin").write_bytes(made["train_y.bin"][::-1])
    assert stl.official_facts(data_folder / "stl10") != before


def test_the_unlabelled_images_behind_are_not_read(tmp_path: Path, made: dict[str, bytes]) -> None:
    path = write(tmp_path, {**made, "unlabeled_X.bin": np.random.default_rng(0).bytes(1 << 22)})
    path.write_bytes(path.read_bytes()[: -(1 << 21)])  # cut in what nobody needs; the checksum is for that
    assert len(Stl10("stl10", "download").read_official(tmp_path).x_train) == 20


@pytest.mark.parametrize(
    ("name", "raw", "says"),
    [
        ("train_X.bin", b"\1" * 1000, "train_X.bin has 1000 bytes, which are no whole pictures of 27648"),
        ("test_y.bin", b"\0" * 10, "test_y.bin has the label 0"),
        ("test_y.bin", b"\13" * 10, "11 classes, but the set of this name has 10"),
        ("train_y.bin", b"\1" * 19, "20 images in x_train but 19 labels"),
        ("class_names.txt", b"bird\n", "class_names.txt has 1 names, not 10"),
        ("class_names.txt", b"\xff\xfe", "damaged or not the official layout"),
        ("train_X.bin", b"", "no images in x_train"),
        ("train_y.bin", None, "no stl10_binary/train_y.bin in it"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, made: dict[str, bytes], name: str, raw: bytes | None, says: str
) -> None:
    content = {key: value for key, value in {**made, name: raw}.items() if value is not None}
    write(tmp_path, content)
    with pytest.raises(UserError, match=says) as caught:
        Stl10("stl10", "download").read_official(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_cut_archive_and_one_that_is_none(tmp_path: Path, made: dict[str, bytes]) -> None:
    path = write(tmp_path, made)
    raw = path.read_bytes()
    for bad in (raw[: len(raw) // 3], b"<html>", b""):
        path.write_bytes(bad)
        with pytest.raises(UserError, match=r"damaged or not the official layout .*delete it"):
            Stl10("stl10", "download").read_official(tmp_path)


def test_the_official_facts_are_torchvisions() -> None:
    from torchvision.datasets import STL10

    (remote,) = Stl10.remotes
    assert (remote.filename, remote.md5) == (STL10.filename, STL10.tgz_md5)
    assert remote.urls[0] == STL10.url
