"""A set of images in folders: `train/CLASS/*.png|jpg`, the test images likewise in `test/` or `val/`.

An image is turned the way its EXIF orientation says, as every viewer shows it. What is no image is counted.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from msda_train.core.errors import UserError
from msda_train.data.examples import Arrays, too_many_classes
from msda_train.data.images import check_arrays

ENDINGS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif")
_OTHER_IMAGES = (
    *(".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".npy", ".avif", ".avifs", ".heic", ".heif"),
    *(".jp2", ".j2k", ".jpx", ".jxl", ".svg", ".psd", ".tga", ".ico", ".dng", ".raw", ".exr", ".dds"),
)
_LAYOUT = "the layout is train/CLASS/*.png and test/CLASS/*.png (or val/, or jpg)"

Fact = tuple[str, int, int]  # relative path, size in bytes, time of the last change in ns


def source_files(root: Path) -> list[Fact]:
    """Every file of the source with what tells whether it changed. 60,000 files take half a second."""
    train, test = _split_folders(root)
    return sorted(fact for folder in (train, test) for fact in scan(folder, folder.name))


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


def read_folder(root: Path, *, official_classes: int | None = None) -> Arrays:
    """Decode all: RGB, or one channel where every image is grey. Labels follow the sorted names."""
    where = f"dataset.root={root}"
    files = [_class_files(folder) for folder in _split_folders(root)]
    _same_classes(root, *files)
    classes = sorted(files[0])
    if official_classes is not None and len(classes) > official_classes:
        raise too_many_classes(where, len(classes), official_classes)  # before minutes of decoding
    paths = [path for split in files for name in classes for path in split[name]]
    labels = [label for split in files for label, name in enumerate(classes) for _ in split[name]]
    x = decode_all(((path, path) for path in paths), len(paths))
    y = np.array(labels, dtype=np.int64)
    n = sum(len(found) for found in files[0].values())
    arrays = {"x_train": x[:n], "y_train": y[:n], "x_test": x[n:], "y_test": y[n:]}
    return check_arrays(where, arrays, classes=classes, official_classes=official_classes)


def decode_all(named: Iterable[tuple[str, str | bytes]], n: int) -> np.ndarray:
    """(n, H, W, 3 or 1) uint8 of `n` pairs of a name (for messages) and a path or a file's bytes."""
    x: np.ndarray | None = None
    all_grey = True
    first = ""
    for k, (name, source) in enumerate(tqdm(named, total=n, desc="decode", unit="image", disable=None)):
        pixels, grey = _decode(name, source)
        if x is None:
            x, first = np.empty((n, *pixels.shape), dtype=np.uint8), name
        if pixels.shape != x.shape[1:]:
            raise UserError(
                f"{name}: {_wide_high(pixels)} pixels, but {first} has {_wide_high(x[0])}; "
                f"make all images of the set one size"
            )
        x[k] = pixels
        all_grey = all_grey and grey
    assert x is not None
    return x[..., :1] if all_grey else x  # grey came out as three equal channels


def _wide_high(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


def _decode(name: str, source: str | bytes) -> tuple[np.ndarray, bool]:
    """(H, W, 3) uint8 of one image, and whether it is grey (mode L or 1)."""
    from PIL import Image, ImageOps

    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as image:
            if image.mode in ("I", "F") or image.mode.startswith("I;"):
                raise UserError(
                    f"{name}: more than 8 bits per pixel (mode {image.mode}); convert it to 8 bits"
                )
            grey = image.mode in ("L", "1")
            upright = ImageOps.exif_transpose(image)  # as every viewer shows it
            plain: Any = upright.convert("RGBA") if "transparency" in upright.info else upright
            return np.asarray(plain.convert("RGB")), grey
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{name}: not a readable image ({reason}); replace or delete it") from error


def _split_folders(root: Path) -> tuple[Path, Path]:
    """`train/` and the first of `test/`, `val/` that is there."""
    if not root.is_dir():
        raise UserError(f"dataset.root={root}: no such folder; {_LAYOUT}")
    train = root / "train"
    test = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    if not train.is_dir() or test is None:
        lack = "train/" if not train.is_dir() else "test/ or val/"
        raise UserError(f"dataset.root={root}: no {lack} in it; {_LAYOUT}")
    return train, test


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
