"""What a data set is once decoded, whatever its examples are: pictures, rows of a table, spectrograms."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np

from msda_train.core.errors import UserError

KEYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True, eq=False)  # "equal" says nothing of two arrays; compare `content`
class Arrays:
    """Decoded and checked, in whatever order the source has them."""

    x_train: np.ndarray  # (N, ...) examples; of pictures (N, H, W, C) uint8
    y_train: np.ndarray  # (N,) int64
    x_test: np.ndarray  # (M, ...)
    y_test: np.ndarray  # (M,) int64
    classes: tuple[str, ...]  # name of label k at place k
    x_validation: np.ndarray | None = field(default=None, kw_only=True)  # where the source has a third split
    y_validation: np.ndarray | None = field(default=None, kw_only=True)
    # (M, K, 4) float32, where the source has boxes: left, top, right, bottom in pixels of x_test from its
    # corner, of up to K objects of the image's class; NaN where an image has fewer.
    boxes_test: np.ndarray | None = field(default=None, kw_only=True)

    def splits(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Name, examples and labels of each split that there is."""
        yield "train", self.x_train, self.y_train
        yield "test", self.x_test, self.y_test
        if self.x_validation is not None and self.y_validation is not None:
            yield "validation", self.x_validation, self.y_validation

    @property
    def n_validation(self) -> int | None:
        """How many validation examples there are; None where there is no such split."""
        return None if self.x_validation is None else len(self.x_validation)


@dataclass(frozen=True, eq=False)
class Examples(Arrays):
    """One data set as a run sees it: canonical order, after cap and subsets. Arrays may be read-only maps of
    files.

    `content` and `complete` speak of the whole set that was decoded, before cap and subsets (those are in the
    config): `content` is its hash in hex, `complete` says that it is the official set of this name, none
    less. A set that has no official form (`dataset=own`) is never complete, nor one whose test part is not
    the official one (`holdout`).
    """

    name: str
    content: str
    complete: bool
    holdout: float = 0.0  # above 0 the "test" part is that share of the training examples
    y_clean: np.ndarray | None = None  # (N,) the true labels, where dataset.label_noise replaced some
    left_out: Callable[[], tuple[np.ndarray, np.ndarray]] | None = None

    noun: ClassVar[str] = "examples"  # what a message calls them

    @cached_property
    def held_out(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Training examples and labels that dataset.subset left out; None where nothing was left out."""
        return self.left_out() if self.left_out else None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example as a network gets it; what a first layer counts (channels, features) comes first."""
        return self.x_train.shape[1:]

    @property
    def n_classes(self) -> int:
        """How many classes have a name, with or without examples."""
        return len(self.classes)

    @property
    def n_train(self) -> int:
        """How many training examples there are."""
        return len(self.x_train)

    @property
    def n_test(self) -> int:
        """How many test examples there are."""
        return len(self.x_test)


@dataclass(frozen=True)
class Verdict:
    """What `verify` found. `intact`: the cached arrays are what was decoded. `official`: they are the
    official set, value for value (True), or are not (False); None: nothing is known to compare with beyond
    `complete`'s counts."""

    examples: Examples
    intact: bool
    official: bool | None


def check_classes(where: str, arrays: Arrays) -> None:
    """UserError where a class has no example to train or to test on."""
    for split, y in (("training", arrays.y_train), ("test", arrays.y_test)):
        counts = np.bincount(y, minlength=len(arrays.classes))
        if empty := np.flatnonzero(counts == 0).tolist():
            names = ", ".join(f"{arrays.classes[k]!r}" for k in empty[:3]) + (", ..." if empty[3:] else "")
            raise UserError(
                f"{where}: {len(empty)} of {len(arrays.classes)} classes have no {split} example ({names}); "
                f"add some, or type dataset.empty_classes=true to go on without"
            )


def check_labels(where: str, key: str, y: np.ndarray) -> np.ndarray:
    """(N,) int64 from integers (N,) or (N, 1)."""
    if y.dtype.kind not in "iu":
        raise UserError(f"{where}: {key} is {y.dtype}; give integer labels 0..K-1")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise UserError(f"{where}: {key} has shape {y.shape}; give one integer label per image, shape (N,)")
    if len(y) and y.max() > np.iinfo(np.int64).max:
        raise UserError(f"{where}: {key} has the label {y.max()}; labels must be 0..K-1")
    if len(y) and y.min() < 0:
        raise UserError(f"{where}: {key} has the label {y.min()}; labels must be 0..K-1")
    return y.astype(np.int64)


def too_many_classes(where: str, found: int, official: int) -> UserError:
    """What to raise where a named set has `found` classes, more than the `official` number."""
    return UserError(
        f"{where}: {found} classes, but the set of this name has {official}; "
        f"for your own images type dataset=own dataset.name=NAME"
    )
