"""Pictures that stay in their files, as an array that is decoded where somebody looks at it.

Held of an image are its path and what points at it, some fifty bytes; no worker holds any of it.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from msda_train.core.errors import RunFailed, UserError
from msda_train.data.reading import Look, Reader, Remark, Task

MOST_BYTES = 4 << 30  # that are decoded into memory at once
THREADS = min(8, os.cpu_count() or 1)  # Pillow lets others run while it decodes


class Paths:
    """Paths below one folder, as bytes one behind the other."""

    def __init__(self, names: Iterable[bytes]) -> None:
        blob, ends = bytearray(), [0]
        for name in names:
            blob += name
            ends.append(len(blob))
        self.blob, self.ends = bytes(blob), np.array(ends, dtype=np.int64)

    def __getitem__(self, k: int) -> bytes:
        return self.blob[self.ends[k] : self.ends[k + 1]]


@dataclass(frozen=True, eq=False)
class PictureFiles:
    """Images (N, size, size, 3) uint8 that nobody has decoded yet, each as `look` makes it.

    An index gives those images, still in their files; np.array() gives pixels. An image that cannot be
    decoded is grey there. chosen: (N,) places in `paths`; unreadable: the share of such images that a run
    forgives.
    """

    root: str
    look: Look
    paths: Paths
    chosen: np.ndarray
    unreadable: float = 1.0

    dtype: ClassVar = np.dtype(np.uint8)
    ndim: ClassVar = 4

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As of an array."""
        return len(self.chosen), self.look.size, self.look.size, 3

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, places: Any) -> Any:
        if isinstance(places, int | np.integer):
            return np.asarray(self[[places]])[0]
        return replace(self, chosen=self.chosen[places])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[k] for k in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All of them, decoded. UserError where they are too many, RunFailed where files are gone."""
        if (size := int(np.prod(self.shape, dtype=np.int64))) > MOST_BYTES:
            raise UserError(
                f"dataset.root={self.root}: {len(self):,} images of {self.look.size} pixels a side are "
                f"{size / 2**30:.1f} GiB, too many to hold at once; type dataset.subset=N, or look at fewer"
            )
        made = np.empty(self.shape, dtype=np.uint8)
        for k, (pixels, remarks) in enumerate(self.read()):
            raise_if_gone(self.root, remarks)
            made[k] = pixels
        return made if dtype is None else made.astype(dtype)

    def name(self, k: int) -> bytes:
        """The path of image k below the root."""
        return self.paths[self.chosen[k]]

    def read(self) -> Iterator[tuple[np.ndarray, list[Remark]]]:
        """Pixels (size, size, 3) of each image, and what was odd about it; a few are decoded at once."""
        reader = Reader(self.root, self.look)
        with ThreadPoolExecutor(THREADS) as pool:
            for start in range(0, len(self), 16 * THREADS):
                ahead = range(start, min(start + 16 * THREADS, len(self)))
                yield from pool.map(lambda k: reader[Task(self.name(k))], ahead)


def raise_if_gone(root: str, remarks: Iterable[Remark]) -> None:
    """RunFailed where a file was there when the run began and cannot be read now."""
    for remark in remarks:
        if remark.kind == "gone":
            raise RunFailed(
                f"{os.path.join(root, os.fsdecode(remark.name))}: cannot be read any more ({remark.words}); "
                f"no row written, the last checkpoint is kept, and the same command goes on from it"
            )
