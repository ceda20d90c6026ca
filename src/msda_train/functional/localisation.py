"""From a heat map to a box, and how well boxes meet: left, top, right, bottom in pixels from the corner."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

CORNERS_TOO = np.ones((3, 3), dtype=int)  # pixels that touch at a corner are connected


def largest_box(heat: np.ndarray, threshold: float) -> tuple[float, float, float, float]:
    """Around the largest connected part of `heat` (H, W) that is at least `threshold` times its maximum.

    Zhou et al., CVPR 2016, section 3.2, with 0.2. The whole image where nothing is: an image without a box
    would count as a miss in any case, and IoU stays defined.
    """
    parts, count = ndimage.label(heat >= threshold * heat.max(), CORNERS_TOO)
    if not count or heat.max() <= 0:
        return 0.0, 0.0, float(heat.shape[1]), float(heat.shape[0])
    sizes = np.bincount(parts.ravel())[1:]
    rows, columns = ndimage.find_objects(parts)[int(sizes.argmax())]
    return float(columns.start), float(rows.start), float(columns.stop), float(rows.stop)


def iou(one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (..., 4), which broadcast; NaN where one of them is NaN, 0 where they
    do not meet."""
    a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=-1)
    areas = [np.prod(box[..., 2:] - box[..., :2], axis=-1) for box in (a, b)]
    made: np.ndarray = common / (areas[0] + areas[1] - common)
    return made
