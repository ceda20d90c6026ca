"""Small real files in the true formats, and a place where no test meets the user's own data."""

import struct
import tarfile
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from msda_train.core import paths

Split = tuple[np.ndarray, np.ndarray]


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Downloads and cache of this test; a proxy of the machine must not stand before the local server."""
    monkeypatch.setattr(paths, "DATA", tmp_path / "data")
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "data"


def _draw(n: int, n_classes: int, shape: tuple[int, ...], seed: int) -> Split:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, *shape), dtype=np.uint8), np.arange(n) % n_classes


@pytest.fixture
def draw() -> Callable[..., tuple[Split, Split]]:
    """Train and test images with labels in turn: draw(n_train, n_test, n_classes, shape)."""

    def both(
        n_train: int = 30, n_test: int = 12, n_classes: int = 3, shape: tuple[int, ...] = (8, 8, 3)
    ) -> tuple[Split, Split]:
        return _draw(n_train, n_classes, shape, 1), _draw(n_test, n_classes, shape, 2)

    return both


@pytest.fixture
def write_npz(tmp_path: Path) -> Callable[..., Path]:
    def write(train: Split, test: Split, name: str = "set.npz", **more: np.ndarray) -> Path:
        path = tmp_path / name
        np.savez(path, x_train=train[0], y_train=train[1], x_test=test[0], y_test=test[1], **more)
        return path

    return write


@pytest.fixture
def write_folder(tmp_path: Path) -> Callable[..., Path]:
    """train/cK/*.png and test/cK/*.png; names run against the order of the arrays."""

    def write(train: Split, test: Split, second: str = "test", ending: str = "png") -> Path:
        root = tmp_path / "folder"
        for split, (x, y) in (("train", train), (second, test)):
            for k, (image, label) in enumerate(zip(x, y, strict=True)):
                folder = root / split / f"c{label}"
                folder.mkdir(parents=True, exist_ok=True)
                pixels = image[..., 0] if image.shape[-1] == 1 else image
                Image.fromarray(pixels).save(folder / f"{999 - k}.{ending}")
        return root

    return write


def _python2(value: object) -> bytes:
    """The opcodes with which Python 2's cPickle, protocol 2, wrote the CIFAR files."""
    if isinstance(value, bytes):  # a `str` then
        return b"T" + struct.pack("<i", len(value)) + value
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, list):
        return b"](" + b"".join(_python2(item) for item in value) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(_python2(part) for item in value.items() for part in item) + b"u"
    assert isinstance(value, np.ndarray)
    assert value.dtype == np.uint8
    start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01bt"
    kind = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"(" + b"".join(_python2(side) for side in value.shape) + b"t"
    return start + b"R(K\x01" + shape + kind + b"\x89" + _python2(value.tobytes()) + b"tb"


def _planes(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)).reshape(len(x), -1)


def _tar(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, raw in members.items():
            facts = tarfile.TarInfo(name)
            facts.size = len(raw)
            archive.addfile(facts, BytesIO(raw))


@pytest.fixture
def write_cifar10() -> Callable[..., Path]:
    """cifar-10-python.tar.gz in its own layout; `extra` members replace or join."""

    def write(folder: Path, train: Split, test: Split, extra: dict[str, bytes] | None = None) -> Path:
        top, members = "cifar-10-batches-py", {}
        for k, part in enumerate(np.array_split(np.arange(len(train[0])), 5)):
            batch = {b"data": _planes(train[0][part]), b"labels": train[1][part].tolist()}
            members[f"{top}/data_batch_{k + 1}"] = b"\x80\x02" + _python2(batch) + b"."
        batch = {b"data": _planes(test[0]), b"labels": test[1].tolist()}
        members[f"{top}/test_batch"] = b"\x80\x02" + _python2(batch) + b"."
        names = [f"name{k}".encode() for k in range(10)]
        members[f"{top}/batches.meta"] = b"\x80\x02" + _python2({b"label_names": names}) + b"."
        path = folder / "cifar-10-python.tar.gz"
        _tar(path, {**members, **(extra or {})})
        return path

    return write


@pytest.fixture
def write_cifar100() -> Callable[[Path, Split, Split], Path]:
    def write(folder: Path, train: Split, test: Split) -> Path:
        top, members = "cifar-100-python", {}
        for split, (x, y) in (("train", train), ("test", test)):
            batch = {b"data": _planes(x), b"fine_labels": y.tolist(), b"coarse_labels": [0] * len(y)}
            members[f"{top}/{split}"] = b"\x80\x02" + _python2(batch) + b"."
        names = [f"name{k:02}".encode() for k in range(100)]
        members[f"{top}/meta"] = b"\x80\x02" + _python2({b"fine_label_names": names}) + b"."
        path = folder / "cifar-100-python.tar.gz"
        _tar(path, members)
        return path

    return write


@pytest.fixture
def write_tiny() -> Callable[..., Path]:
    """tiny-imagenet-200.zip with the classes n2, n0, n1 (listed out of order) and one grey JPEG."""

    def jpeg(pixels: np.ndarray) -> bytes:
        buffer = BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
        return buffer.getvalue()

    def write(folder: Path, train: Split, test: Split) -> Path:
        top, lines = "tiny-imagenet-200", []
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{top}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{top}/wnids.txt", "n2\nn0\nn1\n")
            archive.writestr(f"{top}/words.txt", "n0\tfirst\n")
            archive.writestr(f"{top}/train/n0/n0_boxes.txt", "")
            for k, (image, label) in enumerate(zip(*train, strict=True)):
                pixels = image[..., 0] if k == 0 else image
                archive.writestr(f"{top}/train/n{label}/images/n{label}_{k}.JPEG", jpeg(pixels))
            for k, (image, label) in enumerate(zip(*test, strict=True)):
                archive.writestr(f"{top}/val/images/val_{k}.JPEG", jpeg(image))
                lines.append(f"val_{k}.JPEG\tn{label}\t0\t0\t7\t7")
            archive.writestr(f"{top}/val/val_annotations.txt", "\n".join(lines) + "\n")
            archive.writestr(f"{top}/test/images/test_0.JPEG", jpeg(test[0][0]))
        return path

    return write
