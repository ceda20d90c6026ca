"""Folders of images that are too many for memory: read, cropped and mirrored while a network is trained.

Layout: train/CLASS/IMAGE and test/CLASS/IMAGE (or val). Nothing is decoded beforehand and nothing is written.

The content of such a set is a hash of the file name, size in bytes and class of each image: a file that was
replaced by another of the same size is not noticed, for that every byte would have to be read. `msda-data
verify` decodes every image. The stored order, too, is by these hashes, so it says nothing of classes and is
the same wherever the folders lie.
"""

import hashlib
import os
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.data.content import canonical_order
from msda_train.data.dataset import Dataset
from msda_train.data.examples import Arrays, Examples, Verdict
from msda_train.data.imagefolder import ENDINGS, scan, tell_left_out
from msda_train.data.picture_files import Paths, PictureFiles, raise_if_gone
from msda_train.data.reading import Look

LAYOUT = "the layout is train/CLASS/IMAGE.jpg and test/CLASS/IMAGE.jpg (or val/, or png)"
Classify = Callable[
    [str], int | None
]  # the label of an image's path in its split; None: it is no image of it

ELSEWHERE = -1  # the label of an image of the other split


@dataclass(frozen=True)
class Streamed(Dataset):
    """Images of any size, read while they are used."""

    size: int = 224
    resize: int = 256
    upright: bool = True
    draft: bool = False
    unreadable: float = 0.01
    squeeze: bool = False

    sources: ClassVar = ("imagefolder",)

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.whole("dataset.size", self.size, least=1)
        checks.whole("dataset.resize", self.resize, least=1)
        if self.resize < self.size:
            raise UserError(
                f"dataset.resize={self.resize}: images would be smaller than the crop of {self.size} pixels; "
                f"type dataset.resize={self.size} or more"
            )
        checks.fraction("dataset.unreadable", self.unreadable)
        checks.flag("dataset.squeeze", self.squeeze)

    def prepare(self, *, rebuild: bool = False) -> Examples:
        """The whole set; only its folders are read."""
        self._check()
        (root,) = self.files()
        if not root.is_dir():
            raise UserError(f"dataset.root={root}: no such folder; {LAYOUT}")
        train, test = self.split_folders(root)
        classes = self.class_names_of(root, train)
        known = {name: k for k, name in enumerate(classes)}
        listed = (
            _Listed(train, self.train_class(root, train, known, classes)),
            _Listed(test, self.test_class(root, test, known, classes)),
        )
        look = Look(self.size, self.resize, self.upright, self.draft, self.squeeze)
        where, share = str(train.parent), self.unreadable
        x: list[Any] = [PictureFiles(where, look, each.paths, each.order, share) for each in listed]
        y = [each.labels[each.order] for each in listed]
        found: Any = self.boxes_of(root, x[1])
        arrays = Arrays(x[0], y[0], x[1], y[1], classes, boxes_test=found)
        return self._named(arrays, _content(listed, classes))

    def boxes_of(self, root: Path, test: PictureFiles) -> Any:
        """What stands for `Arrays.boxes_test`; None where nothing says where objects lie."""
        return None

    @property
    def verified(self) -> str:
        """See `Dataset`."""
        return "all images can be decoded"

    def verify(self) -> Verdict:
        """Decodes every image once. UserError where one cannot be."""
        examples = self.prepare()
        bad: list[str] = []
        for _, x, _ in examples.splits():
            files: Any = x
            for _, remarks in files.read():
                raise_if_gone(files.root, remarks)
                bad += [f"{os.fsdecode(r.name)} ({r.words})" for r in remarks if r.kind == "unreadable"]
        if bad:
            more = f" and {len(bad) - 10:,} more" if bad[10:] else ""
            raise UserError(
                f"dataset.root={self.root}: {len(bad):,} of {examples.n_train + examples.n_test:,} images "
                f"cannot be decoded: {', '.join(bad[:10])}{more}; repair or delete them"
            )
        return Verdict(examples, True, None if examples.complete or self.n_train is None else False)

    def prepared(self) -> bool:
        """Whether the folders are there: there is nothing to prepare."""
        try:
            self._check()
            self.split_folders(self.files()[0])
            return True
        except UserError:
            return False

    @property
    def word(self) -> str:
        """See `Dataset`."""
        return "streamed" if type(self) is Streamed else self.name

    def checksummed(self) -> bool:
        """See `Dataset`."""
        return False

    # What a named set overrides -----------------------------------------------------------------------------

    def split_folders(self, root: Path) -> tuple[Path, Path]:
        """The folders of the training and of the test images. UserError where there are none."""
        test = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
        if not (root / "train").is_dir() or test is None:
            lack = "test/ or val/" if (root / "train").is_dir() else "train/"
            raise UserError(f"dataset.root={root}: no {lack} in it; {LAYOUT}")
        return root / "train", test

    def class_names_of(self, root: Path, train: Path) -> tuple[str, ...]:
        """Name of label k at place k: the sorted names of the folders."""
        names = folder_names(train)
        if len(names) < 2:
            raise UserError(f"{train}: {len(names)} class folder(s), two or more are needed; {LAYOUT}")
        return names

    def train_class(
        self, root: Path, train: Path, known: dict[str, int], classes: tuple[str, ...]
    ) -> Classify:
        """How the training images are told apart."""
        return folder_class(train, known, classes)

    def test_class(self, root: Path, test: Path, known: dict[str, int], classes: tuple[str, ...]) -> Classify:
        """How the test images are told apart."""
        return folder_class(test, known, classes)


def folder_names(folder: Path) -> tuple[str, ...]:
    """The sorted names of the folders in it. UserError where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return tuple(sorted(each.name for each in entries if each.is_dir() and each.name[0] != "."))
    except OSError as error:
        raise UserError(f"{folder}: cannot read it ({error.strerror}); check the folder") from error


def folder_class(folder: Path, known: dict[str, int], classes: tuple[str, ...]) -> Classify:
    """Labels by the folder that an image lies in. UserError for folders of no known class."""
    for name in folder_names(folder):
        if name not in known:
            raise UserError(
                f"{folder / name}: no class of the training images ({classes[0]}, {classes[1]}, ...); "
                f"take it away, or add {name} to train/"
            )

    def classify(path: str) -> int | None:
        name, _, rest = path.partition("/")
        if "/" in rest or not rest:
            raise UserError(f"{folder}/{path}: an image must lie directly in its class's folder; {LAYOUT}")
        return known[name]

    return classify


@dataclass(eq=False)
class _Listed:
    """The images of a split: paths below the root, label (n,), digest of name, size and class (n, 2), and the
    order of these."""

    folder: Path
    classify: Classify
    paths: Paths = field(init=False)
    labels: np.ndarray = field(init=False)
    digests: np.ndarray = field(init=False)
    order: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        labels, digests, others = array("q"), bytearray(), []

        def names() -> Iterator[bytes]:
            for path, size, _ in scan(self.folder, ""):
                name = path[1:]
                if os.path.splitext(name)[1].lower() not in ENDINGS:
                    others.append(name)
                    continue
                label = self.classify(name)
                if label == ELSEWHERE:
                    continue
                if label is None:
                    others.append(name)
                    continue
                labels.append(label)
                said = b"%s\0%d\0%d" % (os.fsencode(os.path.basename(name)), size, label)
                digests.extend(hashlib.blake2b(said, digest_size=16).digest())
                yield os.fsencode(f"{self.folder.name}/{name}")

        self.paths = Paths(names())
        if not labels:
            raise UserError(f"{self.folder}: no images in it; {LAYOUT}")
        tell_left_out(str(self.folder), "files are no images of this set", others)
        self.labels = np.array(labels, dtype=np.int64)
        self.digests = np.frombuffer(bytes(digests), dtype=">u8").reshape(-1, 2)
        self.order = canonical_order(self.digests)


def _content(listed: Iterable[_Listed], classes: tuple[str, ...]) -> str:
    """The content hash, 32 hex digits."""
    total = hashlib.blake2b(digest_size=16)
    for split, each in zip(("train", "test"), listed, strict=True):
        total.update(f"files {split} {len(each.labels)} {len(classes)};".encode())
        total.update(each.digests[each.order].tobytes())
    return total.hexdigest()
