"""Cutout zeroes a square of every image and leaves its label alone.

DeVries & Taylor, arXiv:1708.04552. Code: uoguelph-mlrg/Cutout. The hole is cut after normalisation (zero is
the data's mean), its centre is any pixel and the border clips it, always on. Manifold Mixup's own Cutout
rows cut one hole per batch: `box_per=batch`. Length: 16 on CIFAR-10, 8 on CIFAR-100, 20 on SVHN; CutMix's
comparison uses 16 on CIFAR-100 too. With a mixing method beside it, it is `recipe.cutout=16`.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from msda_train.config import checks
from msda_train.core.mix import Mix, picture_size
from msda_train.core.randomness import Rng
from msda_train.functional.masks import draw_centre, hole_mask


@dataclass(frozen=True)
class Cutout:
    """x~ = M x, y~ = y; M is 0 in a hole of `length` pixels a side, else 1."""

    length: int = 16
    prob: float = 1.0
    box_per: str = "sample"

    def __post_init__(self) -> None:
        checks.whole("method.length", self.length, least=1)
        checks.fraction("method.prob", self.prob)
        checks.one_of("method.box_per", self.box_per, ("sample", "batch"))

    def plan(self, x: Tensor, y: Tensor, model: Any, rng: Rng) -> Mix:
        """The label weight stays 1: the second label of the pair is the sample's own."""
        if rng.random() >= self.prob:
            return Mix.identity(x)
        height, width = picture_size(x)
        centre = draw_centre(rng, len(x) if self.box_per == "sample" else 1, height, width)
        mask = hole_mask(self.length, centre, height, width, x.device)
        own = Mix.identity(x)
        return Mix(own.perm, own.lam, mask, sources=(x, torch.zeros((), device=x.device)))
