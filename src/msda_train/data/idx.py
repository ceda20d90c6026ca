"""MNIST and Fashion-MNIST, whose official files are in the IDX format, compressed with gzip.

IDX (LeCun's page of MNIST): two zero bytes, the type of the values (8: unsigned bytes), the number of
dimensions, each size as 32 bits with the high byte first, then the values, the last dimension fastest.
MNIST: LeCun, Bottou, Bengio & Haffner, Proc. IEEE 1998. Fashion-MNIST: Xiao, Rasul & Vollgraf,
arXiv:1708.07747. Checksums: torchvision's and Fashion-MNIST's README.
"""

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from msda_train.core.errors import UserError
from msda_train.data.dataset import Dataset
from msda_train.data.download import Remote
from msda_train.data.examples import Arrays
from msda_train.data.images import check_arrays

NAMES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
BYTES = 8  # the code of unsigned bytes
LARGEST = 1 << 31  # bytes of values; the official files have 47 MB at most


def _remotes(mirrors: tuple[str, ...], facts: tuple[tuple[str, int], ...]) -> tuple[Remote, ...]:
    """The four files, given the MD5 and the size of each."""
    names = [f"{name}-ubyte.gz" for name in NAMES]
    return tuple(
        Remote(name, urls=tuple(mirror + name for mirror in mirrors), md5=md5, size=size)
        for name, (md5, size) in zip(names, facts, strict=True)
    )


@dataclass(frozen=True)
class Mnist(Dataset):
    """60,000 / 10,000 grey images 28x28 of the digits 0..9."""

    shape: ClassVar = (28, 28, 1)
    n_classes: ClassVar = 10
    n_train: ClassVar = 60_000
    n_test: ClassVar = 10_000
    class_names: ClassVar = tuple(map(str, range(10)))
    sources: ClassVar = ("download", "imagefolder", "npz")
    remotes: ClassVar = _remotes(
        (
            "http://yann.lecun.com/exdb/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        (
            ("f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
            ("d53e105ee54ea40749a09fcbcd1e9432", 28_881),
            ("9fb629c4189551a2d022fa330f9573f3", 1_648_877),
            ("ec29112dd5afa0611ce80d1b7f02629c", 4_542),
        ),
    )

    def read_official(self, folder: Path) -> Arrays:
        """The four files in `folder`. Raises UserError where one is damaged or another kind of file."""
        x, y, x_test, y_test = (read_idx(folder / remote.filename) for remote in self.remotes)
        arrays = {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test}
        return check_arrays(str(folder), arrays, classes=self.class_names, official_classes=self.n_classes)


@dataclass(frozen=True)
class FashionMnist(Mnist):
    """60,000 / 10,000 grey images 28x28 of ten kinds of clothing."""

    class_names: ClassVar = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )
    remotes: ClassVar = _remotes(
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        (
            ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880),
            ("25c81989df183df01b3e8a0aad5dffbe", 29_515),
            ("bef4ecab320f06d8554ea6380940ec79", 4_422_102),
            ("bb300cfdad3c16e7a12a480ee83cd310", 5_148),
        ),
    )


def read_idx(path: Path) -> np.ndarray:
    """The values of one gzipped IDX file of unsigned bytes, in its own shape. Raises UserError."""
    try:
        with gzip.open(path) as file:
            zero, kind, dimensions = struct.unpack(">HBB", _exactly(file.read(4), 4))
            if zero or kind != BYTES or not 1 <= dimensions <= 4:
                raise ValueError(
                    f"it begins with {zero:04x}{kind:02x}{dimensions:02x}, not with 00000801 or 3"
                )
            shape = struct.unpack(f">{dimensions}I", _exactly(file.read(4 * dimensions), 4 * dimensions))
            count = int(np.prod(shape, dtype=object))
            if count > LARGEST:
                raise ValueError(f"it announces {count} values")
            values = np.frombuffer(_exactly(file.read(count), count), dtype=np.uint8)
            if file.read(1):
                raise ValueError(f"there is more in it than the {count} values that it announces")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(
            f"{path}: damaged or not an IDX file ({error}); delete it and type the command again to download "
            f"it anew"
        ) from error
    return values.reshape(shape)


def _exactly(content: bytes, count: int) -> bytes:
    if len(content) < count:
        raise ValueError(f"{count - len(content)} bytes are missing")
    return content
