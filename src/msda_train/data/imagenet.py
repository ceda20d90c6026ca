"""ImageNet, ILSVRC 2012 (Russakovsky et al., IJCV 2015, arXiv:1409.0575), streamed from its own folders.

train/SYNSET/*.JPEG, and val/ either likewise or with all 50,000 images in it and a list beside it, one of
- val.txt: lines `IMAGE LABEL`, the label a synset or its number in the list of synsets, from 0 (Caffe's);
- LOC_val_solution.csv: `IMAGE,SYNSET box ...` below a head (Kaggle's);
- ILSVRC2012_validation_ground_truth.txt: the devkit's numbers from 1, with meta.mat beside it, which says
  what they mean.
Kaggle's ILSVRC/Data/CLS-LOC is found below the root. Labels follow the sorted synsets, as in all published
networks, or `dataset.synsets`. There is nothing to download: who may have the images asks image-net.org.
"""

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from msda_train.core import paths
from msda_train.core.errors import UserError
from msda_train.data.box_files import find_boxes
from msda_train.data.picture_files import PictureFiles
from msda_train.data.streamed import Classify, Streamed, folder_class, folder_names

KAGGLE = "ILSVRC/Data/CLS-LOC"
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
LISTS = ("val.txt", "LOC_val_solution.csv", GROUND_TRUTH, f"ILSVRC2012_devkit_t12/data/{GROUND_TRUTH}")


@dataclass(frozen=True)
class ImageNet(Streamed):
    """1,281,167 / 50,000 images of 1,000 classes; the validation part is the test set."""

    synsets: str | None = None
    val_list: str | None = None

    shape: ClassVar = (224, 224, 3)
    n_classes: ClassVar = 1000
    n_train: ClassVar = 1_281_167
    n_test: ClassVar = 50_000

    def files(self) -> list[Path]:
        """The root: `dataset.root`, or the folder where data sets are kept."""
        return [(paths.DATA / self.name).absolute()] if self.root is None else super().files()

    def split_folders(self, root: Path) -> tuple[Path, Path]:
        """See `Streamed`."""
        return super().split_folders(root / KAGGLE if (root / KAGGLE).is_dir() else root)

    def boxes_of(self, root: Path, test: PictureFiles) -> Any:
        """See `Streamed` and `data/box_files.py`; read when they are asked for."""
        return find_boxes(root, test)

    def class_names_of(self, root: Path, train: Path) -> tuple[str, ...]:
        """The synsets, sorted or in the order of `synsets`. UserError where those are others."""
        names = super().class_names_of(root, train)
        if self.synsets is None:
            return names
        file = paths.typed_path("dataset.synsets", self.synsets)
        listed = tuple(line.split()[0] for line in _lines("dataset.synsets", file))
        odd = sorted(set(names) ^ set(listed))
        if odd or len(set(listed)) != len(listed):
            where = (
                "twice in it" if not odd else "no folder of train/" if odd[0] in listed else "missing in it"
            )
            which = odd[0] if odd else next(name for name in listed if listed.count(name) > 1)
            raise UserError(
                f"dataset.synsets={self.synsets}: {len(listed)} synsets, but train/ has {len(names)}; "
                f"{which} is {where}. Give one synset in each line, or leave it out: then they are sorted"
            )
        return listed

    def test_class(self, root: Path, test: Path, known: dict[str, int], classes: tuple[str, ...]) -> Classify:
        """By folder, or by the list that is found or typed. UserError where there is none that fits."""
        if self.val_list is None and folder_names(test):
            return folder_class(test, known, classes)
        if self.val_list is not None:
            file = paths.typed_path("dataset.val_list", self.val_list)
        else:
            places = (place / name for place in (root, test.parent, test) for name in LISTS)
            file = next((place for place in places if place.is_file()), Path())
            if file == Path():
                raise UserError(
                    f"{test}: no class folders in it, and no list beside it; put {LISTS[0]}, {LISTS[1]} or "
                    f"{GROUND_TRUTH} (with meta.mat) into {root}, or type dataset.val_list=FILE"
                )
        labels = _labels(file, test, classes, known)

        def classify(path: str) -> int | None:
            stem = os.path.splitext(os.path.basename(path))[0]
            if stem not in labels:
                raise UserError(f"{test / path}: not in {file}; give a list of all images, or take it away")
            return labels[stem]

        return classify


def _lines(option: str, file: Path) -> list[str]:
    try:
        return [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{option}={file}: cannot be read as a list ({error}); give a text file") from None


def _labels(file: Path, test: Path, classes: tuple[str, ...], known: dict[str, int]) -> dict[str, int]:
    """Label by the name of the image without its ending."""
    lines = _lines("dataset.val_list", file)
    if file.name == GROUND_TRUTH:
        synsets = _devkit_synsets(file.with_name("meta.mat"))
        stems = [f"ILSVRC2012_val_{k + 1:08}" for k in range(len(lines))]
        said = [synsets.get(line.strip(), f"{line.strip()} of the devkit") for line in lines]
        pairs = list(zip(stems, said, strict=True))
    elif file.suffix == ".csv":
        pairs = [(row[0], " ".join(row[1:]).split()[0]) for row in csv.reader(lines[1:]) if len(row) > 1]
    else:
        words = [line.split() for line in lines]
        wrong = next((line for line, word in zip(lines, words, strict=True) if len(word) != 2), None)
        if wrong is not None:
            raise UserError(f"{file}: {wrong[:60]!r} is no `IMAGE LABEL`; give one image in each line")
        pairs = [(os.path.splitext(os.path.basename(name))[0], label) for name, label in words]
    numbers = {str(k): k for k in range(len(classes))}
    for stem, label in pairs:
        if label not in known and label not in numbers:
            raise UserError(
                f"{file}: {stem} has the label {label}, which is no synset of train/ and no number below "
                f"{len(classes)}; give the list that fits these folders"
            )
    return {stem: known[label] if label in known else numbers[label] for stem, label in pairs}


def _devkit_synsets(file: Path) -> dict[str, str]:
    """By the devkit's number, as a word, the synset: ILSVRC2012_ID and WNID of meta.mat."""
    from scipy.io import loadmat

    try:
        rows = loadmat(file, squeeze_me=True)["synsets"]
        return {str(int(row["ILSVRC2012_ID"])): str(row["WNID"]) for row in rows}
    except Exception as error:  # scipy raises whatever comes up
        raise UserError(
            f"{file}: cannot be read ({' '.join(str(error).split())[:80]}); it must lie beside "
            f"{GROUND_TRUTH}, as in the devkit"
        ) from None
