"""Caltech-UCSD Birds-200-2011 (Wah, Branson, Welinder, Perona & Belongie, 2011), with its boxes.

The official archive holds `CUB_200_2011/`: images/CLASS/*.jpg, and lists by image number: images.txt,
image_class_labels.txt, train_test_split.txt (1: training), bounding_boxes.txt (left, top, width, height in
pixels), classes.txt. Images are of many sizes; here each is squeezed to `size` pixels a side, as localisation
papers feed them (arXiv:2001.07437), and its box with it. Read from the archive, or from `CUB_200_2011/` where
it lies unpacked. Checksum: as several public readers of the set state it.
"""

import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.data import boxes
from msda_train.data.dataset import Dataset
from msda_train.data.decoding import squeezed
from msda_train.data.download import Remote
from msda_train.data.examples import Arrays
from msda_train.data.imagefolder import scan
from msda_train.data.images import check_arrays

TOP = "CUB_200_2011"
LISTS = ("classes", "images", "image_class_labels", "train_test_split", "bounding_boxes")


@dataclass(frozen=True)
class Cub200(Dataset):
    """5,994 / 5,794 colour images of 200 kinds of birds, `size` pixels a side."""

    size: int = 224

    n_classes: ClassVar = 200
    n_train: ClassVar = 5_994
    n_test: ClassVar = 5_794
    sources: ClassVar = ("download",)
    remotes: ClassVar = (
        Remote(
            f"{TOP}.tgz",
            urls=("https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",),
            md5="97eceeb196236b17998738112f37df78",
        ),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.whole("dataset.size", self.size, least=1)
        object.__setattr__(self, "shape", (self.size, self.size, 3))  # a choice here, no fact of the files

    def official_facts(self, folder: Path) -> list[Any]:
        """The checksum of the archive or, where it lies unpacked, what tells that a file changed; and the
        size."""
        if not self._unpacked(folder):
            return [*super().official_facts(folder), self.size]
        return [*sorted(scan(folder / TOP / "images", "images")), *self._lists(folder), self.size]

    def checksummed(self) -> bool:
        """See `Dataset`."""
        return not self._unpacked(self._folder())

    def fetch_official(self, folder: Path) -> None:
        """Download the archive into `folder`, unless it lies there unpacked. Raises UserError."""
        if not self._unpacked(folder):
            super().fetch_official(folder)

    def read_official(self, folder: Path) -> Arrays:
        """Training and test images, and the boxes of the latter. Raises UserError."""
        source = folder / TOP if self._unpacked(folder) else folder / self.remotes[0].filename
        pixels: dict[str, np.ndarray] = {}
        sizes: dict[str, tuple[int, int]] = {}
        lists: dict[str, str] = {}
        try:
            for name, content in _files(source):
                if name.endswith(".txt"):
                    lists[name.removesuffix(".txt")] = content.decode()
                else:
                    pixels[name], sizes[name] = squeezed(name, content, self.size)
            found = Lists(lists)
            parts = {"train": found.split(True), "test": found.split(False)}
            arrays = {
                f"y_{split}": np.array([label for _, label, _ in rows]) for split, rows in parts.items()
            }
            for split, rows in parts.items():
                arrays[f"x_{split}"] = np.stack([pixels.pop(f"images/{name}") for name, _, _ in rows])
        except (tarfile.TarError, zlib.error, EOFError, ValueError, KeyError, OSError) as error:
            raise UserError(
                f"{source}: damaged or not the official layout ({error}); "
                f"delete it and type the command again to download it anew"
            ) from error
        made = check_arrays(str(source), arrays, classes=found.classes, official_classes=self.n_classes)
        boxed = []
        for name, _, box in parts["test"]:
            size = sizes[f"images/{name}"]
            boxed.append([boxes.scaled(boxes.inside(name, box, size), size, (self.size, self.size))])
        return replace(made, boxes_test=boxes.table(boxed))

    def _unpacked(self, folder: Path) -> bool:
        """Whether it lies there unpacked, and no archive beside it."""
        zipped = (folder / self.remotes[0].filename).exists()
        return not zipped and (folder / TOP / "images.txt").is_file()

    def _lists(self, folder: Path) -> list[Any]:
        facts = [(name, (folder / TOP / f"{name}.txt").stat()) for name in LISTS]
        return [[name, fact.st_size, fact.st_mtime_ns] for name, fact in facts]


class Lists:
    """The five lists, joined by image number. rows: path below images/, label, whether it is for training,
    box. Raises ValueError or KeyError where they do not belong together."""

    def __init__(self, texts: dict[str, str]) -> None:
        missing = [name for name in LISTS if name not in texts]
        if missing:
            raise ValueError(f"no {missing[0]}.txt in it")
        rows = {
            name: dict(line.split(maxsplit=1) for line in texts[name].splitlines() if line.strip())
            for name in LISTS
        }
        self.classes = [rows["classes"][key].strip() for key in sorted(rows["classes"], key=int)]
        self.rows = []
        for key in sorted(rows["images"], key=int):
            left, top, width, height = map(float, rows["bounding_boxes"][key].split())
            label, training = (
                int(rows["image_class_labels"][key]) - 1,
                rows["train_test_split"][key].strip() == "1",
            )
            box = (left, top, left + width, top + height)
            self.rows.append((rows["images"][key].strip(), label, training, box))

    def split(self, training: bool) -> list[tuple[str, int, boxes.Box]]:
        """Path below images/, label and box of each image of a split."""
        return [(name, label, box) for name, label, its, box in self.rows if its == training]


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    """Path below TOP and content of every list and image."""
    wanted = {f"{name}.txt" for name in LISTS}
    if source.is_dir():
        for name in (*sorted(wanted), *sorted(name for name, _, _ in scan(source / "images", "images"))):
            yield name, (source / name).read_bytes()
        return
    with tarfile.open(source, "r|gz") as archive:
        for member in archive:
            top, _, name = member.name.removeprefix("./").partition("/")
            if top != TOP or not (name in wanted or (name.startswith("images/") and name.endswith(".jpg"))):
                continue
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                yield name, content.read()
