"""Images: what a picture data set is once decoded, and the checks that every source must pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from msda_train.core.errors import UserError
from msda_train.data.examples import KEYS, Arrays, Examples, check_labels, too_many_classes


@dataclass(frozen=True, eq=False)
class Images(Examples):
    """A set of pictures, x uint8 (N, H, W, C), C 1 or 3."""

    noun: ClassVar = "images"

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        made: int = self.x_train.shape[3]
        return made

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.x_train.shape[1], self.x_train.shape[2]

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W), as a network gets them."""
        return self.channels, *self.size


def check_arrays(
    where: str,
    arrays: Mapping[str, np.ndarray],
    *,
    classes: Sequence[str] | None = None,
    official_classes: int | None = None,
) -> Arrays:
    """`arrays` (keys: KEYS) as Arrays, or a one-line UserError that begins with `where`.

    `classes` names the labels where the source knows them; else a named set has its `official_classes` (it
    may lack some of them) and any other set as many as its largest label says.
    """
    for key in KEYS:
        if key not in arrays:
            have = ", ".join(sorted(arrays)) or "nothing"
            raise UserError(f"{where}: no array '{key}' (it has {have}); it must hold {', '.join(KEYS)}")
    x_train, x_test = (_check_images(where, key, arrays[key]) for key in ("x_train", "x_test"))
    y_train, y_test = (check_labels(where, key, arrays[key]) for key in ("y_train", "y_test"))
    _check_pairs(where, x_train, y_train, x_test, y_test)
    largest = int(max(y_train.max(), y_test.max()))
    if classes is None and official_classes is None:
        _check_no_gap(where, y_train, y_test)
    n_classes = len(classes) if classes is not None else (official_classes or largest + 1)
    names = tuple(classes) if classes is not None else tuple(str(k) for k in range(n_classes))
    if official_classes is not None and max(n_classes, largest + 1) > official_classes:
        raise too_many_classes(where, max(n_classes, largest + 1), official_classes)
    if largest >= n_classes:
        raise UserError(
            f"{where}: label {largest}, but there are {n_classes} class names; "
            f"labels must be 0..{n_classes - 1}"
        )
    if n_classes < 2:
        raise UserError(f"{where}: one class only; give images of at least two classes")
    return Arrays(x_train, y_train, x_test, y_test, names)


def _check_no_gap(where: str, y_train: np.ndarray, y_test: np.ndarray) -> None:
    """The labels of a set without class names say how many classes there are, so each has to occur."""
    found = np.union1d(y_train, y_test)
    missing = np.flatnonzero(found != np.arange(len(found)))
    if len(missing):
        first = int(missing[0])
        raise UserError(
            f"{where}: label {found[-1]}, but no image of class {first}; labels must be 0..K-1 without "
            f"a gap. If {found[-1]} means none, leave those images out; else name every label in `classes`"
        )


def _check_pairs(
    where: str, x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray
) -> None:
    """One label for each image, and one size of images."""
    for split, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        if len(x) != len(y):
            raise UserError(
                f"{where}: {len(x)} images in x_{split} but {len(y)} labels in y_{split}; "
                f"give one label per image"
            )
    if x_train.shape[1:] != x_test.shape[1:]:
        raise UserError(
            f"{where}: train images are {_size(x_train)} but test images are {_size(x_test)}; "
            f"make them one size"
        )


def _size(x: np.ndarray) -> str:
    return "x".join(str(side) for side in x.shape[1:])


def _check_images(where: str, key: str, x: np.ndarray) -> np.ndarray:
    """(N, H, W, C) uint8 from (N, H, W, C) or grey (N, H, W)."""
    if x.dtype != np.uint8:
        raise UserError(f"{where}: {key} is {x.dtype}; give pixels 0..255 as uint8")
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4 or x.shape[3] not in (1, 3):
        hint = "; move the channels last: x.transpose(0, 2, 3, 1)" if _channels_first(x) else ""
        raise UserError(
            f"{where}: {key} has shape {x.shape}; give (N, H, W, 3), (N, H, W, 1) or (N, H, W){hint}"
        )
    if 0 in x.shape:
        raise UserError(f"{where}: no images in {key} (shape {x.shape}); give at least one")
    return x


def _channels_first(x: np.ndarray) -> bool:
    return x.ndim == 4 and x.shape[1] in (1, 3)
