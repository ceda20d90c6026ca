"""TinyImageNet (Stanford CS231N), 200 of ImageNet's classes at 64x64; its validation part is the test set.

Read straight from the official zip, or from a folder `tiny-imagenet-200/` where somebody unpacked it. About
2% of the JPEG files are grey; they become three equal channels.
"""

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from msda_train.core.errors import UserError
from msda_train.data import boxes
from msda_train.data.dataset import Dataset
from msda_train.data.download import Remote
from msda_train.data.examples import Arrays
from msda_train.data.imagefolder import scan, tell_left_out
from msda_train.data.images import check_arrays
from msda_train.data.picture_arrays import decode_all

TOP = "tiny-imagenet-200"

ReadFile = Callable[[str], bytes]  # by the path inside the zip


@dataclass(frozen=True)
class TinyImageNet(Dataset):
    """100,000 / 10,000 colour images 64x64 in 200 classes; label k is the k-th of the sorted class ids."""

    shape: ClassVar = (64, 64, 3)
    n_classes: ClassVar = 200
    n_train: ClassVar = 100_000
    n_test: ClassVar = 10_000
    sources: ClassVar = ("download", "imagefolder", "npz")
    remotes: ClassVar = (
        Remote(
            f"{TOP}.zip",
            urls=(f"http://cs231n.stanford.edu/{TOP}.zip", f"https://cs231n.stanford.edu/{TOP}.zip"),
            md5="90528d7ca1a48142e341f4ef8d21d0de",
            size=248_100_043,
        ),
    )

    def official_facts(self, folder: Path) -> list[Any]:
        """The checksum of the zip or, of an unpacked folder, what is in it."""
        if _unpacked(self, folder) is None:
            return super().official_facts(folder)
        return sorted(scan(folder / TOP, TOP))

    def fetch_official(self, folder: Path) -> None:
        """Download the zip into `folder`, unless it lies there unpacked. Raises UserError."""
        if _unpacked(self, folder) is None:
            super().fetch_official(folder)

    def read_official(self, folder: Path) -> Arrays:
        """The training images and, as test images, the validation images; from the zip or the
        unpacked folder. Raises UserError."""
        with _opened(_unpacked(self, folder) or folder / self.remotes[0].filename) as (names, read):
            classes = sorted(read(f"{TOP}/wnids.txt").decode().split())
            train = _train(names, classes)
            annotations = read(f"{TOP}/val/val_annotations.txt").decode()
            test = _validation(annotations, classes)
            read_ones = {path for path, _ in train + test}
            others = [name for name in names if _is_image(name) and name not in read_ones]
            others = [name for name in others if not name.startswith(f"{TOP}/test/")]  # those have no labels
            tell_left_out(str(folder), "images have no place in the layout or no annotation", others)
            paths = [path for path, _ in train + test]
            labels = np.array([label for _, label in train + test], dtype=np.int64)
            x = decode_all(((path, read(path)) for path in paths), len(paths))
        n = len(train)
        arrays = {"x_train": x[:n], "y_train": labels[:n], "x_test": x[n:], "y_test": labels[n:]}
        made = check_arrays(str(folder), arrays, classes=classes, official_classes=self.n_classes)
        return replace(made, boxes_test=_boxes(annotations))


def _unpacked(dataset: Dataset, folder: Path) -> Path | None:
    """The unpacked folder, where there is one and no zip beside it."""
    zipped = (folder / dataset.remotes[0].filename).exists()
    return folder / TOP if not zipped and (folder / TOP / "wnids.txt").is_file() else None


@contextmanager
def _opened(source: Path) -> Iterator[tuple[list[str], ReadFile]]:
    """The names of all files of the zip or folder, and how to read one."""
    try:
        if source.is_dir():
            names = [name for name, _, _ in scan(source, TOP)]
            yield names, lambda name: (source.parent / name).read_bytes()
        else:
            with zipfile.ZipFile(source) as archive:
                yield archive.namelist(), archive.read
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, OSError) as error:
        raise UserError(
            f"{source}: damaged or not the official layout ({error}); "
            f"delete it and type the command again to download it anew"
        ) from error


def _is_image(name: str) -> bool:
    return name.lower().endswith((".jpeg", ".jpg"))


def _train(names: list[str], classes: list[str]) -> list[tuple[str, int]]:
    """(path, label) of `TOP/train/CLASS/images/*.JPEG`."""
    label = {name: k for k, name in enumerate(classes)}
    found = []
    for name in sorted(names):
        words = name.split("/")
        if len(words) == 5 and words[1] == "train" and words[3] == "images" and _is_image(name):
            found.append((name, label[words[2]]))
    if not found:
        raise ValueError(f"no {TOP}/train/CLASS/images/*.JPEG")
    return found


def _validation(annotations: str, classes: list[str]) -> list[tuple[str, int]]:
    """(path, label) by the lines `FILE<tab>CLASS<tab>box` of val_annotations.txt."""
    label = {name: k for k, name in enumerate(classes)}
    rows = [line.split("\t") for line in annotations.splitlines() if line.strip()]
    if not rows or any(len(row) < 2 for row in rows):
        raise ValueError("val_annotations.txt is empty or has a line without a tab")
    return [(f"{TOP}/val/images/{row[0]}", label[row[1]]) for row in rows]


def _boxes(annotations: str) -> np.ndarray | None:
    """(M, 1, 4) of the same lines, whose box is `left<tab>top<tab>right<tab>bottom`, the last pixel included;
    None where a line has none."""
    rows = [line.split("\t")[2:] for line in annotations.splitlines() if line.strip()]
    if any(len(row) != 4 for row in rows):
        return None
    corners = [tuple(map(float, row)) for row in rows]
    return boxes.table([[(left, top, right + 1, bottom + 1)] for left, top, right, bottom in corners])
