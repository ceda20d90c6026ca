"""A set of images in one `.npz` file: x_train, y_train, x_test, y_test and, if it likes, `classes`."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from msda_train.core.errors import UserError
from msda_train.core.machine import memory
from msda_train.data.examples import KEYS, Arrays
from msda_train.data.images import check_arrays

KNOWN = (*KEYS, "classes")


def read_npz(
    path: Path, *, official_classes: int | None = None, class_names: Sequence[str] | None = None
) -> Arrays:
    """x uint8 (N, H, W, C) or grey (N, H, W), y integers (N,) or (N, 1), classes strings (K,). Else
    UserError.

    `class_names` are those of the named set, for a file that names none.
    """
    where = f"dataset.root={path}"
    try:
        with open(path, "rb") as file:  # np.load by path leaves a damaged file open
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):  # it takes a bare .npy too
                raise ValueError("a single array")
            _check_size(where, loaded.zip.infolist())
            found = {key: loaded[key] for key in loaded.files if key in KNOWN}
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise UserError(
            f"{where}: damaged or not an npz file ({error}); write it again with numpy.savez"
        ) from error
    except MemoryError as error:
        raise UserError(f"{where}: {error}; its arrays are larger than the memory of this machine") from error
    except ValueError as error:
        raise UserError(
            f"{where}: not an npz file of plain arrays; write it with "
            f"numpy.savez(FILE, x_train=..., y_train=..., x_test=..., y_test=...)"
        ) from error
    except OSError as error:
        raise UserError(f"{where}: cannot read it ({error.strerror or error}); check the file") from error
    classes = _names(where, found.pop("classes", None)) or class_names
    return check_arrays(where, found, classes=classes, official_classes=official_classes)


def _check_size(where: str, members: Sequence[zipfile.ZipInfo]) -> None:
    """UserError where a few megabytes would unpack to more than there is memory."""
    size = sum(member.file_size for member in members if member.filename.removesuffix(".npy") in KNOWN)
    if size > (here := memory()):
        raise UserError(
            f"{where}: its arrays take {size / 2**30:,.0f} GiB, this machine has {here / 2**30:,.0f}; "
            f"store fewer images"
        )


def _names(where: str, classes: np.ndarray | None) -> list[str] | None:
    if classes is None:
        return None
    if classes.ndim != 1 or classes.dtype.kind not in "US":
        raise UserError(
            f"{where}: classes has shape {classes.shape} and type {classes.dtype}; give one string per class"
        )
    return [
        str(name, "utf-8", "replace") if isinstance(name, bytes) else str(name) for name in classes.tolist()
    ]
