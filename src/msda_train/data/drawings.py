"""Pictures that are drawn from numbers, as an array that is drawn where somebody looks at it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np


@dataclass(frozen=True, eq=False)
class Drawings:
    """Images (N, H, W, C) uint8 that nobody has drawn yet.

    An index gives those images, still undrawn, and np.array() pixels. factors: (N, F) float64, what each is
    drawn from; draw: from such rows (n, F) to images (n, H, W, C) uint8; size: (H, W, C).
    """

    factors: np.ndarray
    draw: Callable[[np.ndarray], np.ndarray]
    size: tuple[int, int, int]

    dtype: ClassVar = np.dtype(np.uint8)
    ndim: ClassVar = 4

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As of an array."""
        return len(self.factors), *self.size

    def __len__(self) -> int:
        return len(self.factors)

    def __getitem__(self, places: Any) -> Any:
        if isinstance(places, int | np.integer):
            return np.asarray(self[[places]])[0]
        return replace(self, factors=self.factors[places])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[k] for k in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All of them, drawn."""
        made = self.draw(self.factors)
        return made if dtype is None else made.astype(dtype)
