"""CUB-200-2011 (see `data/cub200.py`), streamed from `CUB_200_2011/` where it lies unpacked.

So that images are resized to one size and windows of another cut out of them, anew in each epoch, as CutMix's
localisation trains (arXiv:1905.04899, appendix B): both sides to 256 pixels, crops of 224, the middle for
testing. Which image is in which split, and the boxes, say the official lists; a box moves with its pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from msda_train.core import paths
from msda_train.core.errors import UserError
from msda_train.data import boxes
from msda_train.data.box_files import Boxes
from msda_train.data.cub200 import LISTS, TOP, Lists
from msda_train.data.decoding import Unreadable, opening
from msda_train.data.picture_files import PictureFiles
from msda_train.data.streamed import ELSEWHERE, Classify, Streamed

IMAGES = "images"


@dataclass(frozen=True)
class Cub200Files(Streamed):
    """5,994 / 5,794 images of 200 kinds of birds, with boxes of the latter."""

    squeeze: bool = True
    upright: bool = False  # boxes count from the corner of what is stored

    n_classes: ClassVar = 200
    n_train: ClassVar = 5_994
    n_test: ClassVar = 5_794

    def files(self) -> list[Path]:
        """The root: `dataset.root`, or the folder where data sets are kept."""
        return [(paths.DATA / "cub200").absolute()] if self.root is None else super().files()

    def split_folders(self, root: Path) -> tuple[Path, Path]:
        """See `Streamed`: one folder holds both."""
        if not (root / TOP / "images.txt").is_file():
            raise UserError(
                f"dataset.root={root}: no {TOP}/images.txt in it; unpack {TOP}.tgz there, "
                f"which `msda-data prepare cub200` downloads"
            )
        return root / TOP / IMAGES, root / TOP / IMAGES

    def class_names_of(self, root: Path, train: Path) -> tuple[str, ...]:
        """As the list has them."""
        return tuple(_lists(root).classes)

    def train_class(
        self, root: Path, train: Path, known: dict[str, int], classes: tuple[str, ...]
    ) -> Classify:
        """By the lists."""
        return _classify(_lists(root), training=True)

    def test_class(self, root: Path, test: Path, known: dict[str, int], classes: tuple[str, ...]) -> Classify:
        """By the lists."""
        return _classify(_lists(root), training=False)

    def boxes_of(self, root: Path, test: PictureFiles) -> Any:
        """See `Streamed`; the size of an image is read when its box is asked for."""
        rows = {f"{IMAGES}/{name}": box for name, _, box in _lists(root).split(False)}
        return CubBoxes(test, rows)


@dataclass(frozen=True)
class CubBoxes(Boxes):
    """One for each image: rows, by its path below the root, in pixels of the image."""

    rows: Mapping[str, boxes.Box] = field(default_factory=dict)

    def of(self, name: str) -> Sequence[boxes.Box]:
        """See `Boxes`; none for an image that cannot be read."""
        try:
            with opening(Path(self.pictures.root, name)) as image:
                size: tuple[int, int] = image.size
        except Unreadable:
            return []
        look = self.pictures.look
        whole = boxes.inside(name, self.rows[name], size)
        return boxes.cut_out(whole, size, look.resize, look.size, squeeze=look.squeeze)


def _lists(root: Path) -> Lists:
    try:
        return Lists({name: (root / TOP / f"{name}.txt").read_text(encoding="utf-8") for name in LISTS})
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{root / TOP}: its lists cannot be read ({error}); unpack {TOP}.tgz anew") from error


def _classify(lists: Lists, *, training: bool) -> Classify:
    labels = {name: label if its == training else ELSEWHERE for name, label, its, _ in lists.rows}
    return labels.get
