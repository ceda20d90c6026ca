"""Handwritten digits that scikit-learn carries along (the test part of UCI's optical digits; Alpaydin, Kaynak
1998).

1,797 real images, 8x8, grey values 0..16. The official form has no split. Ours is fixed: the first 36 images
of each class in canonical order, which is as good as random and the same everywhere, are the test set.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from msda_train.data.content import canonical_order, digests
from msda_train.data.dataset import Dataset
from msda_train.data.examples import Arrays
from msda_train.data.images import check_arrays

TEST_PER_CLASS = 36


@dataclass(frozen=True)
class Digits(Dataset):
    """1,437 / 360 grey images 8x8 of the digits 0..9; no download."""

    shape: ClassVar = (8, 8, 1)
    n_classes: ClassVar = 10
    n_train: ClassVar = 1_437
    n_test: ClassVar = 360
    sources: ClassVar = ("embedded",)
    comes: ClassVar = "comes with scikit-learn"
    official_content: ClassVar = "058882e3572ced025065d435d7b9adee"

    def official_facts(self, folder: Path) -> list[Any]:
        """Where the images are from, and how many of each class are test images."""
        return ["scikit-learn", TEST_PER_CLASS]

    def read_official(self, folder: Path) -> Arrays:
        """scikit-learn's images, uint8 (N, 8, 8, 1) with 16 as 255; the same test images in any release."""
        from sklearn.datasets import load_digits  # a second to import; only the first run decodes

        bunch = load_digits()
        x = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
        y = bunch.target.astype(np.int64)
        order = canonical_order(digests(x, y))
        test = np.concatenate([order[y[order] == k][:TEST_PER_CLASS] for k in range(10)])
        train = np.setdiff1d(order, test)
        arrays = {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]}
        return check_arrays("digits", arrays, official_classes=self.n_classes)
