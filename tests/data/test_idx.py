"""MNIST and Fashion-MNIST on small files in the official format."""

import gzip
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.data.download import Remote
from msda_train.data.idx import FashionMnist, Mnist, read_idx

FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def packed(values: np.ndarray, kind: int = 8) -> bytes:
    """By hand: magic, sizes with the high byte first, values."""
    head = bytes([0, 0, kind, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    return head + values.astype(np.uint8).tobytes()


def write(folder: Path, train: tuple, test: tuple) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in zip(FILES, (*train, *test), strict=True):
        (folder / f"{name}-ubyte.gz").write_bytes(gzip.compress(packed(values)))


@pytest.mark.parametrize(("kind", "ninth"), [(Mnist, "9"), (FashionMnist, "Ankle boot")])
def test_images_and_labels_are_those_of_the_files(
    tmp_path: Path, draw: Callable, kind: type[Mnist], ninth: str
) -> None:
    train, test = draw(30, 20, 10, (28, 28))
    write(tmp_path, train, test)
    arrays = kind("set", "download").read_official(tmp_path)
    np.testing.assert_array_equal(arrays.x_train[..., 0], train[0])
    np.testing.assert_array_equal(arrays.y_train, train[1])
    np.testing.assert_array_equal(arrays.x_test[..., 0], test[0])
    np.testing.assert_array_equal(arrays.y_test, test[1])
    assert arrays.classes[9] == ninth
    assert len(arrays.classes) == 10


def test_the_bytes_are_where_the_format_says(tmp_path: Path) -> None:
    path = tmp_path / "f.gz"
    path.write_bytes(gzip.compress(struct.pack(">IIII", 0x00000803, 2, 1, 3) + bytes([1, 2, 3, 4, 5, 6])))
    np.testing.assert_array_equal(read_idx(path), [[[1, 2, 3]], [[4, 5, 6]]])


RAW = packed(np.arange(12).reshape(3, 4))
WHOLE = gzip.compress(RAW)
BAD = {
    "cut in the stream": (WHOLE[:-12], "."),
    "cut values": (gzip.compress(RAW[:-2]), "2 bytes are missing"),
    "cut sizes": (gzip.compress(RAW[:6]), "6 bytes are missing"),
    "cut magic": (gzip.compress(RAW[:3]), "1 bytes are missing"),
    "empty": (b"", "4 bytes are missing"),
    "too long": (gzip.compress(RAW + b"x"), "more in it than the 12 values"),
    "of floats": (gzip.compress(packed(np.arange(12).reshape(3, 4), kind=13)), "it begins with 00000d02"),
    "wrong magic": (gzip.compress(b"\x01" + RAW[1:]), "it begins with 01000802"),
    "no dimension": (gzip.compress(bytes([0, 0, 8, 0])), "it begins with 00000800"),
    "a huge announcement": (gzip.compress(bytes([0, 0, 8, 3]) + b"\xff" * 12), "it announces 7922"),
    "not compressed": (RAW, "Not a gzipped file"),
    "a page": (b"<html>not found</html>", "Not a gzipped file"),
    "wrong checksum": (WHOLE[:-8] + b"\0\0\0\0" + WHOLE[-4:], "CRC"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_damaged_file_is_named(tmp_path: Path, kind: str) -> None:
    content, says = BAD[kind]
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=rf"{path.name}: damaged or not an IDX file \(.*{says}.*delete it"
    ) as e:
        read_idx(path)
    assert "\n" not in str(e.value)


def test_labels_must_fit_the_images(tmp_path: Path, draw: Callable) -> None:
    (x, y), test = draw(30, 20, 10, (28, 28))
    write(tmp_path, (x, y[:-1]), test)
    with pytest.raises(UserError, match="30 images in x_train but 29 labels"):
        Mnist("mnist", "download").read_official(tmp_path)
    write(tmp_path, (x, y + 3), test)
    with pytest.raises(UserError, match="13 classes"):
        Mnist("mnist", "download").read_official(tmp_path)


def test_files_that_are_there_are_checked_and_taken(
    data_folder: Path, draw: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The official checksums refuse made files; with checksums of their own they are taken."""
    train, test = draw(30, 20, 10, (28, 28))
    write(data_folder / "mnist", train, test)
    made = build("dataset", compose("dataset=mnist").dataset)
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz is not the official file"):
        made.prepare()
    known = [_of(data_folder / "mnist" / remote.filename, remote) for remote in Mnist.remotes]
    monkeypatch.setattr(Mnist, "remotes", tuple(known))
    images = made.prepare()
    assert (images.size, images.channels, images.n_train, images.n_test) == ((28, 28), 1, 30, 20)
    assert not images.complete
    assert sorted(images.x_train.sum(axis=(1, 2, 3))) == sorted(train[0].sum(axis=(1, 2), dtype=np.int64))


def _of(path: Path, remote: Remote) -> Remote:
    import hashlib

    content = path.read_bytes()
    return replace(remote, md5=hashlib.md5(content).hexdigest(), size=len(content))


@pytest.mark.parametrize("kind", [Mnist, FashionMnist])
def test_the_official_facts_are_torchvisions(kind: type[Mnist]) -> None:
    from torchvision import datasets

    theirs = getattr(datasets, {"Mnist": "MNIST", "FashionMnist": "FashionMNIST"}[kind.__name__])
    assert [(remote.filename, remote.md5) for remote in kind.remotes] == theirs.resources
    assert {url.rpartition("/")[0] + "/" for r in kind.remotes for url in r.urls} >= set(theirs.mirrors)
    names = [name.split(" - ")[-1] for name in theirs.classes]
    assert list(kind.class_names) == (names if kind is FashionMnist else list("0123456789"))
