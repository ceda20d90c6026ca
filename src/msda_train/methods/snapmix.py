"""SnapMix pastes a box of the partner, cut somewhere else and resized; labels count what both boxes mean.

Huang, Wang & Tao, AAAI 2021, arXiv:2012.04846, equations (3) to (6). Code: Shaoli-Huang/SnapMix
utils/mixmethod.py, which we follow: one coin, two lam and two boxes of CutMix's kind per batch; the partner's
box is resized (bilinear, corners aligned) to the image's. The label weights are shares of class activation
maps (arXiv:1512.04150): what an image keeps of its own map, and what the partner's box holds of the
partner's. They need not add up to 1. Maps come from the network as it is trained, without gradients: its
BatchNorm counts the batch a second time. Where both labels are one, the code adds each weight to the other
and so counts the sample twice, `same_class=doubled`; `added` counts it once, as the equations do. A box
without pixels leaves the batch unmixed. Where a map is empty, areas are the weights. Published on CUB-200,
Cars and Aircraft with alpha 5, prob 1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from msda_train.config import checks
from msda_train.core.mix import Mix, picture_size
from msda_train.core.randomness import Rng, draw_lam
from msda_train.functional.masks import box_mask, centred_box, draw_centre, kept_share
from msda_train.methods._pairwise import Pairwise
from msda_train.models.class_maps import class_maps


@dataclass(frozen=True)
class SnapMix(Pairwise):
    """x~ = M x + (1 - M) resized box of x[perm]; label weights 1 - S(box of x), S(box of x[perm])."""

    alpha: float = 5.0
    same_class: str = "doubled"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("method.same_class", self.same_class, ("doubled", "added"))
        checks.one_of("method.lam_per", self.lam_per, ("batch",))

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`."""
        height, width = picture_size(x)
        sizes = np.concatenate([lam, draw_lam(rng, self.alpha, 1)])
        edges = centred_box(sizes, draw_centre(rng, 2, height, width), height, width)
        (top, bottom, left, right), (low, high, first, last) = edges.tolist()
        if (bottom - top) * (right - left) * (high - low) * (last - first) == 0:
            return Mix.identity(x)
        pasted = x.clone()
        box = x[perm, :, low:high, first:last].float()
        made = F.interpolate(box, (bottom - top, right - left), mode="bilinear", align_corners=True)
        pasted[:, :, top:bottom, left:right] = made.to(x.dtype)
        maps = _shares(x, y, model)
        own = 1 - maps[:, top:bottom, left:right].sum(dim=(1, 2))
        other = maps[perm, low:high, first:last].sum(dim=(1, 2))
        area = float(kept_share(edges[:1], height, width)[0])
        own, other = own.nan_to_num(area), other.nan_to_num(1 - area)
        kept = own
        twice = (y == y[perm]) & (self.same_class == "doubled")
        own, other = torch.where(twice, own + other, own), torch.where(twice, own + other, other)
        shares = torch.diag(own).scatter_add_(1, perm[:, None], other[:, None])
        mask = box_mask(edges[:1], height, width, x.device)
        return Mix(perm, kept, mask, sources=(x, pasted), shares=shares)


@torch.no_grad()
def _shares(x: Tensor, y: Tensor, model: Any) -> Tensor:
    """Class activation maps (B, H, W) of the labels, each from its minimum on, with the sum 1; NaN where a
    map has one value."""
    found = F.interpolate(class_maps(model, x, y).maps[:, None], x.shape[2:], mode="bilinear")[:, 0]
    found = found - found.amin(dim=(1, 2), keepdim=True)
    total = found.sum(dim=(1, 2), keepdim=True)
    return torch.where(total > 0, found / total, torch.nan)
