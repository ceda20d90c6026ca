"""Pascal VOC 2007 and 2012 as detectors learn from them: images with boxes of twenty kinds of things.

The official archives unpack into `VOCdevkit/VOC2007` and `VOC2012`: JPEGImages/, Annotations/ and lists in
ImageSets/Main/. Trained on the 16,551 images of both years' trainval, tested on the 4,952 of 2007's test, as
all programs do. Objects marked as difficult are not learned from, and images that have no other are left out
(so has jwyang/faster-rcnn.pytorch; amdegroot/ssd.pytorch also leaves out those objects).
"""

import hashlib
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from msda_train.core.errors import UserError
from msda_train.core.files import writing
from msda_train.data.decoding import Unreadable, opening
from msda_train.data.download import Remote, fetch

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train"),
    "tvmonitor",
)
TRAIN, TEST = (("2007", "trainval"), ("2012", "trainval")), (("2007", "test"),)
TRAIN_IMAGES, TEST_IMAGES = 16_551, 4_952
AGAIN = "unpack the archive again"

_HOST = "http://host.robots.ox.ac.uk/pascal/VOC/voc20"
_MIRROR = "https://pjreddie.com/media/files/"  # byte-identical
_FILES = {
    ("2007", "trainval"): ("07/VOCtrainval_06-Nov-2007.tar", "c52e279531787c972589f7e41ab4ae64"),
    ("2007", "test"): ("07/VOCtest_06-Nov-2007.tar", "b6e924de25625d8de591ea690078ad9f"),
    ("2012", "trainval"): ("12/VOCtrainval_11-May-2012.tar", "6cd6e144f989b92b3379bac3b3de84fd"),
}


@dataclass(frozen=True)
class Objects:
    """Of one image: boxes (N, 4) float32 as left, top, right, bottom in pixels, half open; labels (N,) from 1
    on, for 0 is the background; difficult (N,)."""

    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray


@dataclass(frozen=True)
class Voc:
    """The images of `lists`, (year, name) each, below the folder `root`, which holds VOCdevkit. option: what
    names that folder; typed: whether somebody did. If not, it is the suite's own, and what is not there is
    downloaded."""

    root: Path
    lists: Sequence[tuple[str, str]]
    option: str
    typed: bool
    _read: dict[int, Objects] = field(default_factory=dict, init=False, repr=False)  # each file once

    @cached_property
    def images(self) -> list[Path]:
        """In the order of the lists. UserError where they are not there and cannot be downloaded."""
        found = []
        for year, name in self.lists:
            if not self.typed:
                _download(self.root, year, name, self.option)
            folder = self.root / "VOCdevkit" / f"VOC{year}"
            listed = folder / "ImageSets" / "Main" / f"{name}.txt"
            try:
                words = listed.read_text(encoding="ascii").split()
            except FileNotFoundError:
                raise UserError(
                    f"{self.option}={self.root}: no VOCdevkit/VOC{year}/ImageSets/Main/{name}.txt in it; "
                    f"type the folder in which VOCdevkit lies, or leave it out to download Pascal VOC"
                ) from None
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(f"{listed}: cannot be read ({error}); {AGAIN}") from None
            if not words:
                raise UserError(f"{listed}: names no image; {AGAIN}")
            found += [folder / "JPEGImages" / f"{word}.jpg" for word in words]
        return found

    def checked(self, numbers: Iterator[int]) -> str:
        """A hash of names and annotations. UserError names the first file that is missing or damaged;
        `numbers`: all of them, perhaps with a bar."""
        folders = {path.parent for path in self.images}
        here = {folder: set(os.listdir(folder)) if folder.is_dir() else set() for folder in folders}
        digest = hashlib.sha256()
        for number in numbers:
            path = self.images[number]
            if path.name not in here[path.parent]:
                raise UserError(f"{path}: is missing; {AGAIN}")
            objects = self.objects(number)
            digest.update(f"{path.parts[-3]}/{path.name}\n".encode())
            for values in (objects.boxes, objects.labels, objects.difficult):
                digest.update(values.tobytes())
        return digest.hexdigest()

    def objects(self, number: int) -> Objects:
        """Of image `number`. UserError where its annotation is none."""
        if number not in self._read:
            self._read[number] = self._objects(number)
        return self._read[number]

    def _objects(self, number: int) -> Objects:
        picture = self.images[number]
        file = picture.parents[1] / "Annotations" / f"{picture.stem}.xml"
        try:
            return _objects(ElementTree.parse(file).getroot())
        except (OSError, ElementTree.ParseError, ValueError) as error:
            raise UserError(f"{file}: no annotation ({error}); {AGAIN}") from None

    def picture(self, number: int) -> Any:
        """PIL's, RGB, as it is stored. UserError where it cannot be read."""
        try:
            with opening(self.images[number]) as image:
                return image.convert("RGB")
        except Unreadable as error:
            raise UserError(
                f"{self.images[number]}: no picture ({error}); unpack the archive again"
            ) from None


def _objects(annotation: ElementTree.Element) -> Objects:
    boxes, labels, difficult = [], [], []
    for thing in annotation.iter("object"):
        corners = [float(thing.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax")]
        # The first pixel is 1, and the last one is inside: half open from 0, only the first two move.
        left, top, right, bottom = corners[0] - 1, corners[1] - 1, *corners[2:]
        if not (left < right and top < bottom):  # nor with a nan
            raise ValueError(f"a box from {corners[:2]} to {corners[2:]}")
        name = thing.findtext("name", "")
        if name not in CLASSES:
            raise ValueError(f"an object of the kind '{name[:40]}'")
        boxes.append([left, top, right, bottom])
        labels.append(1 + CLASSES.index(name))
        difficult.append(thing.findtext("difficult", "0").strip() == "1")
    return Objects(
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
        np.array(labels, dtype=np.int64),
        np.array(difficult, dtype=bool),
    )


def _download(root: Path, year: str, name: str, option: str) -> None:
    """The mark beside it says that an archive was unpacked to its end."""
    path, md5 = _FILES[year, name]
    filename = path.rpartition("/")[2]
    mark = root / f".{filename}.unpacked"
    if mark.is_file():
        return
    remote = Remote(filename, (f"{_HOST}{path}", f"{_MIRROR}{filename}"), md5=md5)
    archive = fetch(remote, root, own_files=False, option=option)
    with writing(root):
        try:
            with tarfile.open(archive) as content:
                # As Python's documentation has it for 3.11 before 3.11.4, which knows no filters.
                content.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
                content.extractall(root)
        except tarfile.TarError as error:
            raise UserError(f"{archive}: cannot be unpacked ({error}); delete it and try again") from None
        mark.touch()
