"""A set of images in folders: `train/CLASS/*.png|jpg`, the test images likewise in `test/` or `val/`.

With a `test_share`, train/CLASS/ alone will do, or CLASS/ alone: then that share of each class is for
testing. How a file becomes pixels, `decoding.py` says. What is no image is counted.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from msda_train.core.errors import UserError
from msda_train.core.randomness import Rng, generator
from msda_train.data.content import canonical_order, digests
from msda_train.data.examples import Arrays, too_many_classes
from msda_train.data.images import check_arrays
from msda_train.data.picture_arrays import decode_all
from msda_train.data.resize import Size
from msda_train.data.subset import split

ENDINGS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif")
_OTHER_IMAGES = (
    *(".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".npy", ".avif", ".avifs", ".heic", ".heif"),
    *(".jp2", ".j2k", ".jpx", ".jxl", ".svg", ".psd", ".tga", ".ico", ".dng", ".raw", ".exr", ".dds"),
)
_LAYOUT = "the layout is train/CLASS/*.png and test/CLASS/*.png (or val/, or jpg)"

Fact = tuple[str, int, int]  # relative path, size in bytes, time of the last change in ns


def source_files(root: Path, test_share: float | None = None) -> list[Fact]:
    """Every file of the source with what tells whether it changed. 60,000 files take half a second."""
    folders = [folder for folder in _split_folders(root, test_share) if folder is not None]
    return sorted(fact for folder in folders for fact in scan(folder, folder.name))


def scan(folder: str | Path, prefix: str) -> Iterable[Fact]:
    """The files under `folder`; hidden ones (a file manager's droppings) do not count."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = f"{prefix}/{entry.name}"
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    yield from scan(entry.path, name)
                else:
                    facts = entry.stat()
                    yield name, facts.st_size, facts.st_mtime_ns
    except OSError as error:
        raise UserError(f"{error.filename}: cannot read it ({error.strerror}); check the folder") from error


def read_folder(
    root: Path,
    *,
    official_classes: int | None = None,
    size: Size | None = None,
    test_share: float | None = None,
    split_seed: int | None = 0,
) -> Arrays:
    """Decode all: RGB, or one channel where every image is grey. Labels follow the sorted names. Each image
    is brought to `size`; None: all have one. `test_share` of each class is drawn for testing by `split_seed`
    where there are no test images."""
    where = f"dataset.root={root}"
    train, test = _split_folders(root, test_share)
    files = [_class_files(folder) for folder in (train, test) if folder is not None]
    _same_classes(root, files[0], files[-1])
    classes = sorted(files[0])
    if len(classes) < 2:
        raise UserError(f"{where}: one class folder only ({classes[0]}); give a folder for each class")
    if official_classes is not None and len(classes) > official_classes:
        raise too_many_classes(where, len(classes), official_classes)  # before minutes of decoding
    paths = [path for split in files for name in classes for path in split[name]]
    labels = [label for split in files for label, name in enumerate(classes) for _ in split[name]]
    x = decode_all(((path, path) for path in paths), len(paths), size)
    y = np.array(labels, dtype=np.int64)
    n = sum(map(len, files[0].values()))
    parts: tuple[Any, Any] = slice(None, n), slice(n, None)
    if test_share is not None:
        parts = _divided(where, x, y, test_share, generator(split_seed or 0, "split"))
    (x_train, y_train), (x_test, y_test) = ((x[part], y[part]) for part in parts)
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    return check_arrays(where, arrays, classes=classes, official_classes=official_classes)


def _divided(
    where: str, x: np.ndarray, y: np.ndarray, test_share: float, rng: Rng
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of training and test images: whatever the files are called, the same images give the same
    parts."""
    digest = digests(x, y)
    order = canonical_order(digest)
    test = order[split(y[order], test_share, rng, stratified=True)]
    train = np.setdiff1d(order, test)
    known = set(map(bytes, digest[train]))
    if twice := sum(bytes(each) in known for each in digest[test]):
        line = f"{where}: {twice:,} test images are training images, too, pixel for pixel; delete the copies"
        tqdm.write(line, file=sys.stderr)
    return train, test


def _split_folders(root: Path, test_share: float | None) -> tuple[Path, Path | None]:
    """`train/` and the first of `test/`, `val/` that is there; with a `test_share` the folder of all images,
    and None."""
    where = f"dataset.root={root}"
    if not root.is_dir():
        raise UserError(f"{where}: no such folder; {_LAYOUT}")
    train = root / "train"
    test = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    if not train.is_dir() and test is None:
        if not _holds_classes(root):
            raise UserError(f"{where}: {_deeper(root)}")
        train = root
    if not train.is_dir():
        raise UserError(f"{where}: no train/ in it; {_LAYOUT}")
    if test is None and test_share is None:
        raise UserError(
            f"{where}: no test/ or val/ in it; type dataset.test_share=0.2 to keep a fifth of the images for "
            f"testing. Else {_LAYOUT}"
        )
    if test is not None and test_share is not None:
        raise UserError(f"dataset.test_share={test_share}: {test} is there to test on; leave it out")
    return train, test


def _holds_classes(folder: Path) -> bool:
    """Whether some folder in it has an image in it."""
    return any(Path(name).suffix.lower() in ENDINGS for sub in _folders(folder) for name in os.listdir(sub))


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] not in "._")
    except OSError as error:
        raise UserError(f"{error.filename}: cannot read it ({error.strerror}); check the folder") from error


def _deeper(root: Path) -> str:
    """What to say of a folder that is no set of images: where one is, one or two levels below."""
    below = [sub for one in _folders(root) for sub in (one, *_folders(one))]
    for folder in sorted(below, key=lambda path: len(path.parts)):
        if (folder / "train").is_dir() or _holds_classes(folder):
            return f"{folder} holds the classes; type dataset.root={folder}"
    return f"no train/ in it; {_LAYOUT}"


def _class_files(folder: Path) -> dict[str, list[str]]:
    """Class name → its image files."""
    classes: dict[str, list[str]] = {}
    others: list[str] = []
    for name, _, _ in scan(folder, ""):
        words = name.split("/")[1:]
        ending = os.path.splitext(words[-1])[1].lower()
        if ending in _OTHER_IMAGES:
            raise UserError(f"{folder}{name}: only png and jpg are read; convert it or take it away")
        if ending not in ENDINGS:
            others.append(name)
            continue
        if len(words) == 3 and _folders(folder) == [folder / words[0]]:
            raise UserError(f"{folder / words[0]} holds the classes; move them one level up, into {folder}")
        if len(words) != 2:
            raise UserError(f"{folder}{name}: an image must lie directly in its class's folder; {_LAYOUT}")
        classes.setdefault(words[0], []).append(f"{folder}{name}")
    empty = [
        p.name for p in sorted(folder.iterdir()) if p.is_dir() and p.name not in classes and p.name[0] != "."
    ]
    if empty:
        raise UserError(f"{folder / empty[0]}: no png or jpg image in it; add some or delete the folder")
    if not classes:
        raise UserError(f"{folder}: no images; {_LAYOUT}")
    tell_left_out(str(folder), "files are no images", [name[1:] for name in others])
    return classes


def tell_left_out(where: str, what: str, names: Sequence[str]) -> None:
    """One line on what was not read, so that nobody believes it was."""
    if names:
        line = f"{where}: {len(names):,} {what} and left out, such as {sorted(names)[0]}"
        tqdm.write("".join(char if char.isprintable() else "?" for char in line), file=sys.stderr)


def _same_classes(root: Path, train: dict[str, list[str]], test: dict[str, list[str]]) -> None:
    odd = sorted(set(train) ^ set(test))
    if odd:
        here, there = ("train", "the test folder") if odd[0] in train else ("the test folder", "train")
        raise UserError(
            f"dataset.root={root}: class '{odd[0]}' is in {here} but not in {there}; "
            f"both need the same classes"
        )
