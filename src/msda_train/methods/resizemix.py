"""ResizeMix shrinks the whole partner and pastes it; the labels are weighted by the area.

Qin, Fang, Zhang, Liu, Wang & Wang, arXiv:2012.11101. Code: JayQine/ResizeMix run_apis/trainer.py, which we
follow: one scale tau ~ U(0.1, 0.8) and permutation per batch, a place of its own for every sample, nearest
interpolation, no coin. The centre is a uniform pixel and the box is then moved inside, so borders are hit
more often. openmixup's resizemix.py (`box_per=batch border=clip`) has one place per batch, clips the box and
squeezes the partner into what is left; its CIFAR-100 ResNet-18 config draws tau from Beta(alpha, alpha) and,
where that leaves the scope, uniformly (`draw=beta`). Where both codes fail, at tau of less than a pixel, we
paste one pixel, and where clipping leaves no box the sample stays unmixed.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from msda_train.config import checks
from msda_train.core.mix import Mix, picture_size
from msda_train.core.randomness import Rng
from msda_train.functional.masks import box_mask, draw_centre, kept_share, nearest_index, shrunk_box
from msda_train.methods._pairwise import Pairwise, to_device
from msda_train.methods._spans import Span, check_span, draw_span


@dataclass(frozen=True)
class ResizeMix(Pairwise):
    """x~ = M x + (1 - M) shrunk(x[perm]); M is 0 in a box with tau of each side, else 1.

    `lam_per=sample` draws tau for each sample.
    """

    whole_numbers: ClassVar = True

    scope: Span = (0.1, 0.8)
    draw: str = "uniform"
    box_per: str = "sample"
    border: str = "shift"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_span("method.scope", self.scope, most=1)
        checks.one_of("method.draw", self.draw, ("uniform", "beta"))
        checks.one_of("method.box_per", self.box_per, ("sample", "batch"))
        checks.one_of("method.border", self.border, ("shift", "clip"))

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`; lam counts with draw=beta only."""
        height, width = picture_size(x)
        tau = draw_span(rng, self.scope, len(lam))
        if self.draw == "beta":
            tau = np.where((self.scope[0] <= lam) & (lam <= self.scope[1]), lam, tau)
        centre = draw_centre(rng, len(x) if self.box_per == "sample" else len(lam), height, width)
        edges = shrunk_box(tau, centre, height, width, self.border)
        index = []
        for side, (first, last) in ((height, edges.T[:2]), (width, edges.T[2:])):
            step = 1 / tau if self.border == "shift" else side / np.maximum(last - first, 1)
            index.append(torch.from_numpy(nearest_index(first, step, side)).to(x.device, non_blocking=True))
        place = (perm[:, None, None] * height + index[0][:, :, None]) * width + index[1][:, None, :]
        pixels = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).index_select(0, place.flatten())
        shrunk = pixels.view(len(x), height, width, -1).permute(0, 3, 1, 2)
        mask = box_mask(edges, height, width, x.device)
        return Mix(perm, to_device(kept_share(edges, height, width), x), mask, sources=(x, shrunk))
