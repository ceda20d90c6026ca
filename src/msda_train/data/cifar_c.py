"""CIFAR-10-C and CIFAR-100-C: the test images of CIFAR, corrupted in 19 ways, five times as strong each time.

Hendrycks & Dietterich, ICLR 2019, arXiv:1903.12261; Zenodo 2535967 and 3555552. A plain tar with a file for
each corruption, (50000, 32, 32, 3) uint8, severity 1 first, and labels.npy (50000,). The images are never
decoded: each file is mapped where it lies, in the archive or unpacked beside it.
"""

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from msda_train.core.errors import UserError
from msda_train.data.download import Remote, fetch

SEVERITIES = 5
# Of the benchmark; the other four are for choosing options by.
STANDARD = (
    *("gaussian_noise", "shot_noise", "impulse_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)
EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
LABELS = "labels"


@dataclass(frozen=True)
class Corrupted:
    """One corrupted test set. name: its folder in the archive."""

    name: str
    remote: Remote
    classes: int
    n_test: int = 10_000

    def open(self, root: Path, option: str) -> dict[str, np.ndarray]:
        """By corruption, images (5, N, 32, 32, 3) uint8, severity first, and the labels (5, N), as maps of
        the files; `root` has the archive or the unpacked files, else the archive is downloaded into it.
        UserError where that fails or a file is not as it should be; `option`: what names another folder."""
        folder = next((each for each in (root, root / self.name) if (each / f"{LABELS}.npy").is_file()), None)
        names = (*STANDARD, *EXTRA, LABELS)
        if folder is not None:
            found = {name: _mapped(folder / f"{name}.npy") for name in names}
        else:
            found = _members(fetch(self.remote, root, own_files=False, option=option), self.name, names)
        for name, array in found.items():
            shape = () if name == LABELS else (32, 32, 3)
            kinds = "iu" if name == LABELS else "u"
            if array.shape != (SEVERITIES * self.n_test, *shape) or array.dtype.kind not in kinds:
                raise UserError(
                    f"{option}={root}: {name}.npy holds {array.dtype} {array.shape}; it is not {self.name}'s"
                )
        return {
            name: array.reshape(SEVERITIES, self.n_test, *array.shape[1:]) for name, array in found.items()
        }


SETS: Mapping[str, Corrupted] = {
    "cifar10": Corrupted(
        "CIFAR-10-C",
        Remote(
            "CIFAR-10-C.tar",
            urls=("https://zenodo.org/records/2535967/files/CIFAR-10-C.tar?download=1",),
            md5="56bf5dcef84df0e2308c6dcbcbbd8499",
        ),
        10,
    ),
    "cifar100": Corrupted(
        "CIFAR-100-C",
        Remote(
            "CIFAR-100-C.tar",
            urls=("https://zenodo.org/records/3555552/files/CIFAR-100-C.tar?download=1",),
            md5="11f0ed0f1191edbf9fa23466ae6021d3",
        ),
        100,
    ),
}


def _members(path: Path, folder: str, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of a plain tar, mapped in place."""
    wanted = {f"{folder}/{name}.npy": name for name in names}
    found = {}
    try:
        with tarfile.open(path, "r:") as archive, path.open("rb") as file:
            for member in archive:
                if member.isfile() and (name := wanted.get(member.name.removeprefix("./"))):
                    found[name] = _map(path, file, member.offset_data)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise UserError(
            f"{path}: {type(error).__name__}: {error}; delete it and type the command again"
        ) from None
    if missing := [name for name in names if name not in found]:
        raise UserError(f"{path}: no {folder}/{missing[0]}.npy in it; delete it and type the command again")
    return found


def _mapped(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            return _map(path, file, 0)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({type(error).__name__}: {error})") from None


def _map(path: Path, file: IO[bytes], start: int) -> np.ndarray:
    """The .npy file that begins at byte `start` of `path`, read-only. ValueError where there is none;
    objects, which a pickle would make, are none."""
    file.seek(start)
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, column_major, dtype = read(file)
    if dtype.hasobject or column_major:
        raise ValueError("no plain array of numbers")
    return np.memmap(path, dtype, "r", offset=file.tell(), shape=shape)
