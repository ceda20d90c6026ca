"""SaliencyMix pastes CutMix's box at the most salient pixel of the partner, at the same place.

Uddin et al., ICLR 2021, arXiv:2006.01791. Code: SaliencyMix_CIFAR/saliencymix.py, which we follow: one coin,
lam, permutation and box per batch; the box, cut as CutMix cuts it, sits at the first maximum of the
fine-grained saliency of *one* image, the partner of the batch's first; lam is then re-adjusted to the area.
`saliency_of=each` gives every sample a box at its own partner's peak.

That code hands OpenCV the normalised floats, and OpenCV reads single bytes of them (see
methods/_fine_grained.py): the peak then lies about where chance would put it. The published numbers were
made so, hence `input=normalised`; `input=pixels` is the saliency that the paper describes, of 8-bit pixels.
In both the first channel counts as blue. `prob` is 0.5 on CIFAR, 1.0 on ImageNet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from msda_train.config import checks
from msda_train.core.mix import Mix, picture_size
from msda_train.core.randomness import Rng
from msda_train.functional.masks import box_mask
from msda_train.functional.pixel_values import in_255
from msda_train.methods._fine_grained import fine_grained
from msda_train.methods._pairwise import Pairwise


@dataclass(frozen=True)
class SaliencyMix(Pairwise):
    """x~ = M x + (1 - M) x[perm]; M is 0 in a box of about 1 - lam around the partner's peak, else 1.

    mean, std: of the normalisation, per channel, pixels in [0, 1]; only `input=pixels` needs them.
    """

    prob: float = 0.5
    saliency_of: str = "partner0"
    input: str = "normalised"
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("method.saliency_of", self.saliency_of, ("partner0", "each"))
        checks.one_of("method.input", self.input, ("normalised", "pixels"))

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`. The peak stays on the device; lam is the mean of the mask."""
        height, width = picture_size(x)
        seen = x[perm[:1] if self.saliency_of == "partner0" else perm]
        if self.input == "pixels":
            seen = in_255(seen, self.mean, self.std).to(torch.uint8)
        peak = fine_grained(seen).flatten(1).argmax(1)
        factor = np.sqrt(1 - lam)  # sides and their halves are truncated, as in masks.centred_box
        edges = []
        for side, centre in ((height, peak // width), (width, peak % width)):
            half = torch.from_numpy((side * factor).astype(np.int64) // 2).to(x.device, non_blocking=True)
            edges += [centre - half, centre + half]  # the mask's grid clips them
        mask = box_mask(torch.stack(edges, dim=1), height, width, x.device)
        return Mix(perm, mask.mean(dim=(1, 2, 3)), mask)
