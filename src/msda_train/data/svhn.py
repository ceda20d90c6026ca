"""SVHN (Netzer et al., "Reading Digits in Natural Images with Unsupervised Feature Learning", 2011), cropped
digits.

The official files are MATLAB's: X (32, 32, 3, N) uint8 and y (N, 1), where the digit 0 has the label 10.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from msda_train.core.errors import UserError
from msda_train.data.dataset import Dataset
from msda_train.data.download import Remote
from msda_train.data.examples import Arrays
from msda_train.data.images import check_arrays


@dataclass(frozen=True)
class Svhn(Dataset):
    """73,257 / 26,032 colour images 32x32 of the digits 0..9; the `extra` split is not used."""

    shape: ClassVar = (32, 32, 3)
    n_classes: ClassVar = 10
    n_train: ClassVar = 73_257
    n_test: ClassVar = 26_032
    sources: ClassVar = ("download", "imagefolder", "npz")
    remotes: ClassVar = (
        Remote(
            "train_32x32.mat",
            urls=("http://ufldl.stanford.edu/housenumbers/train_32x32.mat",),
            md5="e26dedcc434d2e4c54c9b2d4a06d8373",
            size=182_040_794,
        ),
        Remote(
            "test_32x32.mat",
            urls=("http://ufldl.stanford.edu/housenumbers/test_32x32.mat",),
            md5="eb5a983be6a315427106f1b164d9cef3",
            size=64_275_384,
        ),
    )

    def read_official(self, folder: Path) -> Arrays:
        """The two .mat files in `folder` (without the extra images), label 10 as 0. Raises UserError."""
        arrays: dict[str, np.ndarray] = {}
        for split, remote in zip(("train", "test"), self.remotes, strict=True):
            x, y = _read_mat(folder / remote.filename)
            arrays[f"x_{split}"], arrays[f"y_{split}"] = x, y
        classes = [str(digit) for digit in range(10)]
        return check_arrays(str(folder), arrays, classes=classes, official_classes=self.n_classes)


def _read_mat(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W, 3) uint8 and labels (N,) 0..9 of one file."""
    from scipy.io import loadmat

    try:
        content = loadmat(path, variable_names=("X", "y"))
        x, y = content["X"], content["y"].reshape(-1)
        if x.ndim != 4 or y.dtype.kind not in "iu":
            raise ValueError(f"X has shape {x.shape} and y is {y.dtype}")
    except Exception as error:  # a broken MATLAB file raises what it likes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{path}: not an SVHN file ({reason}); delete it and type the command again to download it anew"
        ) from error
    return x.transpose(3, 0, 1, 2), np.where(y == 10, 0, y)
