"""GridMix takes the partner in the holes of a regular grid over a random crop; the labels follow the area.

Baek, Bang & Shim, "GridMix: Strong regularization through local context mapping", Pattern Recognition 2021.
That paper's code was not found, and its patch-level labels with their local loss are not here. This is what
openmixup calls gridmix (augments/gridmix.py, after IlyaDobrynin/GridMixup), with the options and defaults of
its mixup_classification.py: a crop of the image, holes[0] to holes[1] holes across, each sqrt(1 - lam) of its
cell's sides, at least a pixel and never the whole cell, so no lam is unmixed. With those defaults almost half
of the crops are wider or higher than the image: `overhang=wrap` is what their code then does, `clip` what one
would expect; 22 % of the masks differ. In small crops we take fewer holes, so that a cell has two pixels;
their code fails.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from msda_train.config import checks
from msda_train.core.mix import Mix, picture_size
from msda_train.core.randomness import Rng
from msda_train.functional.masks import hole_line
from msda_train.methods._pairwise import Pairwise, to_device
from msda_train.methods._spans import Span, check_span, draw_span


@dataclass(frozen=True)
class GridMix(Pairwise):
    """x~ = M x + (1 - M) x[perm]; M is 0 in the holes, else 1. Aspects are height over width."""

    whole_numbers: ClassVar = True

    holes: tuple[int, int] = (2, 6)
    hole_aspect: Span = (1.0, 1.0)
    crop_area: Span = (0.5, 1.0)
    crop_aspect: Span = (0.5, 2.0)
    overhang: str = "wrap"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, most in (("holes", 1e6), ("hole_aspect", 1e6), ("crop_area", 1), ("crop_aspect", 1e6)):
            check_span(f"method.{name}", getattr(self, name), most=most)
        for count in self.holes:
            checks.whole("method.holes", count, least=1)
        checks.one_of("method.overhang", self.overhang, ("wrap", "clip"))

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`."""
        kept = np.stack([self._grid(weight, *picture_size(x), rng) for weight in lam])
        return Mix(perm, to_device(kept.mean(axis=(1, 2)), x), to_device(kept, x)[:, None])

    def _grid(self, lam: float, height: int, width: int, rng: Rng) -> np.ndarray:
        spans = (self.hole_aspect, self.crop_area, self.crop_aspect)
        hole_aspect, area, aspect = (float(draw_span(rng, span, 1)[0]) for span in spans)
        across = max(int(math.sqrt(int(height * width * area) / aspect)), 1)
        down = max(int(across * aspect), 1)
        holes = int(rng.integers(self.holes[0], self.holes[1] + 1))
        cell = math.ceil(across / min(holes, max(across // 2, 1)))
        lines = []
        for side, extent, pitch in ((height, down, int(cell * hole_aspect)), (width, across, cell)):
            hole = min(max(int(pitch * math.sqrt(1 - lam)), 1), max(pitch - 1, 0))
            start = int((side - extent) * rng.random())
            lines.append(hole_line(side, start, extent, max(pitch, 1), hole, self.overhang))
        return 1.0 - np.outer(*lines)
