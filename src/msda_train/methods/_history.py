"""Mixing with images of the step before: whole, shrunk into a box, with the mixed labels they had."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from msda_train.core.mix import Mix, one_hot


@dataclass(frozen=True)
class Pasted(Mix):
    """labels: (B, K) float32, of the images that are pasted."""

    labels: Tensor | None = None

    def target(self, y: Tensor, classes: int) -> Tensor:
        """(B, K) float32: lam of the own class, the rest of `labels`."""
        assert self.labels is not None
        return torch.lerp(self.labels, one_hot(y, classes), self.lam[:, None])


def shrunk_into(x: Tensor, old: Tensor, edges: np.ndarray, resize: str) -> Tensor:
    """Zeros like x (B, C, H, W), and `old` of the same shape inside the box edges (4,): top, bottom, left,
    right. resize: nearest, or bilinear with corners aligned."""
    top, bottom, left, right = edges.tolist()
    made = torch.zeros_like(x)
    if bottom > top and right > left:
        size, corners = (bottom - top, right - left), True if resize == "bilinear" else None
        made[:, :, top:bottom, left:right] = F.interpolate(old, size, mode=resize, align_corners=corners)
    return made
