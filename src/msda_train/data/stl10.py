"""STL-10 (Coates, Lee & Ng, AISTATS 2011), the labelled images.

The official archive holds `stl10_binary/`: X of a split is uint8 (N, 3, 96, 96) with the columns of a picture
before its rows; y is one byte each, classes 1 to 10; class_names.txt. Its 100,000 unlabelled images and the
ten folds are not used. The archive is read as it comes, up to the last file needed, or `stl10_binary/`
where it lies unpacked. Checksum: torchvision's.
"""

import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from msda_train.core.errors import UserError
from msda_train.data.dataset import Dataset
from msda_train.data.download import Remote
from msda_train.data.examples import Arrays
from msda_train.data.images import check_arrays

TOP = "stl10_binary"
FILES = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "class_names.txt")
SIDE = 96
IMAGE = 3 * SIDE * SIDE  # bytes


@dataclass(frozen=True)
class Stl10(Dataset):
    """5,000 / 8,000 colour images 96x96 in 10 classes."""

    shape: ClassVar = (SIDE, SIDE, 3)
    n_classes: ClassVar = 10
    n_train: ClassVar = 5_000
    n_test: ClassVar = 8_000
    sources: ClassVar = ("download", "imagefolder", "npz")
    remotes: ClassVar = (
        Remote(
            f"{TOP}.tar.gz",
            urls=(
                f"http://ai.stanford.edu/~acoates/stl10/{TOP}.tar.gz",
                f"https://cs.stanford.edu/~acoates/stl10/{TOP}.tar.gz",
            ),
            md5="91f7769df0f17e558f3565bffb0c7dfb",
        ),
    )

    def official_facts(self, folder: Path) -> list[Any]:
        """The checksum of the archive or, where it lies unpacked, what tells that a file changed."""
        if not self._unpacked(folder):
            return super().official_facts(folder)
        facts = [(name, (folder / TOP / name).stat()) for name in FILES]
        return [[name, fact.st_size, fact.st_mtime_ns] for name, fact in facts]

    def fetch_official(self, folder: Path) -> None:
        """Download the archive into `folder`, unless it lies there unpacked. Raises UserError."""
        if not self._unpacked(folder):
            super().fetch_official(folder)

    def read_official(self, folder: Path) -> Arrays:
        """Training and test images, label k for class k + 1. Raises UserError."""
        source = folder / TOP if self._unpacked(folder) else folder / self.remotes[0].filename
        try:
            raw = _members(source)
            arrays = {
                f"{kind}_{split}": _pictures(raw, split) if kind == "x" else _labels(raw, split)
                for split in ("train", "test")
                for kind in "xy"
            }
            classes = raw["class_names.txt"].decode().split()
            if len(classes) != self.n_classes:
                raise ValueError(f"class_names.txt has {len(classes)} names, not {self.n_classes}")
        except (tarfile.TarError, zlib.error, EOFError, ValueError, OSError) as error:
            raise UserError(
                f"{source}: damaged or not the official layout ({error}); "
                f"delete it and type the command again to download it anew"
            ) from error
        return check_arrays(str(source), arrays, classes=classes, official_classes=self.n_classes)

    def _unpacked(self, folder: Path) -> bool:
        """Whether all files lie there unpacked, and no archive beside them."""
        zipped = (folder / self.remotes[0].filename).exists()
        return not zipped and all((folder / TOP / name).is_file() for name in FILES)


def _members(source: Path) -> dict[str, bytes]:
    """The content of FILES, of an unpacked folder or of the archive; of that only what comes before the last
    of them is read, for its unlabelled images have 2.7 GB."""
    if source.is_dir():
        return {name: (source / name).read_bytes() for name in FILES}
    found: dict[str, bytes] = {}
    with tarfile.open(source, "r|gz") as archive:
        for member in archive:
            name = member.name.removeprefix("./").removeprefix(f"{TOP}/")
            content = archive.extractfile(member) if name in FILES and member.isfile() else None
            if content is not None:
                found[name] = content.read()
            if len(found) == len(FILES):
                return found
    missing = next(name for name in FILES if name not in found)
    raise ValueError(f"no {TOP}/{missing} in it")


def _pictures(raw: dict[str, bytes], split: str) -> np.ndarray:
    """(N, 96, 96, 3) uint8."""
    content = raw[f"{split}_X.bin"]
    if len(content) % IMAGE:
        raise ValueError(f"{split}_X.bin has {len(content)} bytes, which are no whole pictures of {IMAGE}")
    columns_first = np.frombuffer(content, dtype=np.uint8).reshape(-1, 3, SIDE, SIDE)
    return np.ascontiguousarray(columns_first.transpose(0, 3, 2, 1))


def _labels(raw: dict[str, bytes], split: str) -> np.ndarray:
    """(N,) int64 from 0."""
    labels = np.frombuffer(raw[f"{split}_y.bin"], dtype=np.uint8).astype(np.int64) - 1
    if len(labels) and labels.min() < 0:
        raise ValueError(f"{split}_y.bin has the label 0; they go from 1 to 10")
    return labels
