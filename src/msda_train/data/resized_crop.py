"""torchvision's RandomResizedCrop of a whole batch: a box of each image, enlarged to the image's size.

A share of the image's area uniform in `scale` and a ratio of width to height log-uniform in `ratio`, both
drawn until the box fits, ten times at most; then the largest box in the middle whose ratio is allowed. Sides
are rounded, places are uniform. A box is never larger than its image, so bilinear interpolation never has to
average over pixels that it leaves out: torchvision's antialiasing changes nothing, and what comes out is its
result without the rounding to 8 bits.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from msda_train.core.randomness import Rng

TRIES = 10  # torchvision's


def draw_boxes(
    rng: Rng, n: int, height: int, width: int, scale: Sequence[float], ratio: Sequence[float]
) -> np.ndarray:
    """(4, n) int64: top, left, height and width of a box for each image."""
    area = height * width * rng.uniform(scale[0], scale[1], (TRIES, n))
    shape = np.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1]), (TRIES, n)))
    wide, high = np.rint(np.sqrt(area * shape)), np.rint(np.sqrt(area / shape))
    fits = (wide >= 1) & (wide <= width) & (high >= 1) & (high <= height)
    first, each = fits.argmax(0), np.arange(n)
    middle_high, middle_wide = _middle(height, width, ratio)
    found = fits.any(0)
    high = np.where(found, high[first, each], middle_high).astype(np.int64)
    wide = np.where(found, wide[first, each], middle_wide).astype(np.int64)
    top, left = rng.integers(0, height - high + 1), rng.integers(0, width - wide + 1)
    centre = (height - middle_high) // 2, (width - middle_wide) // 2
    return np.stack([np.where(found, top, centre[0]), np.where(found, left, centre[1]), high, wide])


def _middle(height: int, width: int, ratio: Sequence[float]) -> tuple[int, int]:
    """Height and width of the largest box whose ratio is allowed."""
    if width / height < ratio[0]:
        return round(width / ratio[0]), width
    return (height, round(height * ratio[1])) if width / height > ratio[1] else (height, width)


def resized(x: Tensor, boxes: Tensor) -> Tensor:
    """The `boxes` (4, B) of images x (B, C, H, W) float32, each bilinear over the whole image."""
    height, width = x.shape[2:]
    top, left, high, wide = boxes.float()
    rows, columns = _places(top, high, height), _places(left, wide, width)
    grid = torch.stack(
        [columns[:, None, :].expand(-1, height, -1), rows[:, :, None].expand(-1, -1, width)], dim=3
    )
    made: Tensor = F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return made.contiguous(memory_format=torch.channels_last)


def _places(start: Tensor, length: Tensor, size: int) -> Tensor:
    """(B, size): where along a side of `size` pixels the new pixels lie, -1 the first, 1 the last centre.
    Beyond the box's own outermost centres nothing is read."""
    steps = torch.arange(size, device=start.device) + 0.5
    inside = (steps * (length[:, None] / size) - 0.5).clamp_min(0).minimum(length[:, None] - 1)
    return (start[:, None] + inside) * (2 / max(size - 1, 1)) - 1
