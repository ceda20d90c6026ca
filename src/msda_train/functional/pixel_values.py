"""Between normalised images and the values of their pixels, on the device of the images."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def per_channel(values: Sequence[float], x: Tensor) -> Tensor:
    """(1, C, 1, 1) float32 beside images x (B, C, H, W), without waiting for the device."""
    host = torch.from_numpy(np.array(values, dtype=np.float32)).view(1, -1, 1, 1)
    return host if x.is_cpu else host.to(x.device, non_blocking=True)


def in_255(x: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Whole numbers 0 to 255, float32, of images x (B, C, H, W) that were normalised by mean and std of
    pixels in [0, 1]."""
    return ((x * per_channel(std, x) + per_channel(mean, x)) * 255).round().clamp(0, 255)
