"""SVHN (Netzer et al., "Reading Digits in Natural Images with Unsupervised Feature Learning", 2011), cropped
digits.

The official files are MATLAB's: X (32, 32, 3, N) uint8 and y (N, 1), where the digit 0 has the label 10.
`extra=true` trains on the third of them, too, 531,131 easier images: 1.9 GB in memory and on disk, and twice
that while they are decoded. Wide residual networks (arXiv:1605.07146) and Cutout (arXiv:1708.04552) do.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.data.dataset import Dataset
from msda_train.data.download import Remote
from msda_train.data.examples import Arrays
from msda_train.data.images import check_arrays

N_EXTRA = 531_131
EXTRA = Remote(
    "extra_32x32.mat",
    urls=("http://ufldl.stanford.edu/housenumbers/extra_32x32.mat",),
    md5="a93ce644f1a588dc4d68dda5feec44a7",
    size=1_329_278_602,
)


@dataclass(frozen=True)
class Svhn(Dataset):
    """73,257 / 26,032 colour images 32x32 of the digits 0..9; with `extra` 604,388 to train on."""

    extra: bool = False  # whether the split `extra` is joined to the training images

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

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.flag("dataset.extra", self.extra)
        if not self.extra:
            return
        if self.source != "download":
            raise UserError(
                f"dataset.extra=true: is of dataset.source=download, this is {self.source}; leave it out"
            )
        # Facts of this set, where the class has those of the other.
        object.__setattr__(self, "remotes", (*self.remotes, EXTRA))
        object.__setattr__(self, "n_train", self.n_train + N_EXTRA)

    def command(self, verb: str) -> str:
        """See `Dataset`."""
        return super().command(verb) + (" dataset.extra=true" if self.extra else "")

    def read_official(self, folder: Path) -> Arrays:
        """The two .mat files in `folder`, or three of them, label 10 as 0. Raises UserError."""
        arrays: dict[str, np.ndarray] = {}
        for split, remote in zip(("train", "test"), self.remotes, strict=False):
            x, y = _read_mat(folder / remote.filename)
            arrays[f"x_{split}"], arrays[f"y_{split}"] = x, y
        if self.extra:
            more = _read_mat(folder / EXTRA.filename)
            for key, part in zip(("x_train", "y_train"), more, strict=True):
                arrays[key] = _joined(arrays[key], part)
        classes = [str(digit) for digit in range(10)]
        return check_arrays(str(folder), arrays, classes=classes, official_classes=self.n_classes)


def _joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Both, one after the other, in rows that lie together: MATLAB's lie the other way round, and would be
    copied once more to be hashed."""
    made = np.empty((len(first) + len(second), *first.shape[1:]), first.dtype)
    made[: len(first)], made[len(first) :] = first, second
    return made


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
