"""Boxes of ImageNet's validation images, in the XML files that come with them, read when they are asked for.

One file for each image, `ILSVRC2012_val_00000001.xml`, of PASCAL's form: size (width, height) and object
(name, bndbox with xmin, ymin, xmax, ymax in pixels of the image, the last one included). A box moves with the
pixels: the shorter side is resized, or both, the middle is cut out (`data.reading.Look`), and what is left of
the box counts.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from msda_train.core.errors import UserError
from msda_train.data import boxes
from msda_train.data.picture_files import PictureFiles

PLACES = (  # below the root: the official archive unpacked there, Kaggle's
    *("bbox_val", "ILSVRC2012_bbox_val_v3/val", "Annotations/CLS-LOC/val"),
    "ILSVRC/Annotations/CLS-LOC/val",
)


@dataclass(frozen=True)
class Boxes:
    """The boxes (K, 4) of each of `pictures`, as a table (M, K, 4) of the images that an index asks for."""

    pictures: PictureFiles

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, places: Any) -> Any:
        """A slice: the table (`Arrays.boxes_test`); other indices: fewer images, still in their files."""
        some = replace(self, pictures=self.pictures[places])
        if not isinstance(places, slice):
            return some
        return boxes.table([some.of(os.fsdecode(some.pictures.name(k))) for k in range(len(some))])

    def of(self, name: str) -> Sequence[boxes.Box]:
        """Those of one picture, a path below the root, in pixels of what the network sees."""
        raise NotImplementedError


@dataclass(frozen=True)
class BoxFiles(Boxes):
    """Those without a file have none."""

    folder: Path

    def of(self, name: str) -> Sequence[boxes.Box]:
        """See `Boxes`. UserError names the file that is damaged, or whose box lies outside of the image."""
        file = self.folder / f"{Path(name).stem}.xml"
        if not file.is_file():
            return []
        try:
            tree = ElementTree.parse(file).getroot()
            size = int(_number(tree, "size/width")), int(_number(tree, "size/height"))
            corners = [
                [_number(each, f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
                for each in tree.findall("object")
            ]
        except (ElementTree.ParseError, ValueError, OSError) as error:
            raise UserError(f"{file}: cannot be read as boxes ({error}); get the file anew") from None
        look = self.pictures.look
        moved = []
        for left, top, right, bottom in corners:
            whole = boxes.inside(str(file), (left, top, right + 1, bottom + 1), size)
            moved += boxes.cut_out(whole, size, look.resize, look.size, squeeze=look.squeeze)
        return moved


def _number(node: ElementTree.Element, path: str) -> float:
    found = node.findtext(path)
    if found is None:
        raise ValueError(f"no {path}")
    return float(found)


def find_boxes(root: Path, pictures: PictureFiles) -> BoxFiles | None:
    """Those at one of PLACES below `root`; None where there are none."""
    found = next((root / place for place in PLACES if (root / place).is_dir()), None)
    return None if found is None else BoxFiles(pictures, found)
