"""Where the examples of a batch come from, for methods that look something up about each."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Drawn:
    """What the pictures of a batch were drawn from.

    factors: (B, F) float64, on the host; draw: from such rows to pictures (B, C, H, W) on the batch's device,
    cropped, mirrored and normalised as its own."""

    factors: np.ndarray
    draw: Callable[[np.ndarray], Tensor]


@dataclass(frozen=True)
class Origin:
    """Which training examples a batch holds and, of pictures, how they lie in it; all (B,) int64, on the
    batch's device.

    image: number among the training examples; down, right: where the crop begins, pixels from the image's own
    corner, negative in the black frame; mirrored: 1 where the crop was mirrored then, else 0.
    drawn: of pictures that are drawn.
    """

    image: Tensor
    down: Tensor
    right: Tensor
    mirrored: Tensor
    drawn: Drawn | None = None
