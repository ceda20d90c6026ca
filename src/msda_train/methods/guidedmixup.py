"""GuidedMixup blends every pixel by the saliency of both images, and pairs images whose saliencies differ.

Kang & Kim, AAAI 2023, arXiv:2306.16612, equations (3) to (6) and algorithm 1. Code: 3neutronstar/GuidedMixup
mixup.py, spectral_residual.py and pairing.pyx, which we follow. Saliency, blurred (7 x 7, sigma 3) and of sum
1: `spectral` is the spectral residual of the grey image (Hou & Zhang, CVPR 2007), blurred once more; the
normalised pixels are its grey, and images of more than 128 pixels are made that small for it. `gradient` is
Puzzle Mix's, with clean_lam. `pairs=greedy` walks from image to image, each time to the one whose saliency is
farthest (L2) among those not yet met, in one cycle; `random` is a permutation. One coin per batch; there is
no lam to draw: it is the mean of the mask. Published: prob 0.5 with spectral, 0.8 with gradient.
openmixup's guidedmix.py measures distances to a shuffled batch and then pairs by that order in the unshuffled
one, which finds no far pairs; we leave that out.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from msda_train.config import checks
from msda_train.core.mix import Mix
from msda_train.core.randomness import Rng
from msda_train.methods._input_gradient import channel_norm, input_gradient
from msda_train.methods._pairwise import partners
from msda_train.methods._spectral_residual import spectral_residual

TINY = 1e-20  # decides where neither image has any saliency


@dataclass(frozen=True)
class GuidedMixup:
    """x~ = M x + (1 - M) x[perm], M = s / (s + s[perm]) at every pixel, s the saliency of an image."""

    prob: float = 0.5
    saliency: str = "spectral"
    pairs: str = "greedy"
    clean_lam: float = 0.0
    clean_scale: str = "bce"

    def __post_init__(self) -> None:
        checks.fraction("method.prob", self.prob)
        checks.one_of("method.saliency", self.saliency, ("spectral", "gradient"))
        checks.one_of("method.pairs", self.pairs, ("greedy", "random"))
        checks.non_negative("method.clean_lam", self.clean_lam)
        checks.one_of("method.clean_scale", self.clean_scale, ("bce", "ce"))

    def plan(self, x: Tensor, y: Tensor, model: Any, rng: Rng) -> Mix:
        """See `msda_train.core.mix.Method`. UserError for images of less than four pixels a side."""
        if rng.random() >= self.prob:
            return Mix.identity(x)
        share = self._share(x, y, model)
        if self.pairs == "greedy":
            perm = far_cycle(torch.cdist(share.flatten(1), share.flatten(1)))
        else:
            perm = partners(rng, "permutation", x)
        mask = (share + TINY) / (share + share[perm] + 2 * TINY)
        return Mix(perm, mask.mean(dim=(1, 2)), mask[:, None])

    def _share(self, x: Tensor, y: Tensor, model: Any) -> Tensor:
        """Blurred saliency (B, H, W) float32 of sum 1, or of nothing."""
        if self.saliency == "spectral":
            found = spectral_residual(x)
        else:
            gradient = input_gradient(x, y, model, clean_lam=self.clean_lam, clean_scale=self.clean_scale)
            found = channel_norm(gradient).float()
        blurred: Tensor = gaussian_blur(found, [7, 7], [3.0, 3.0])
        return blurred / blurred.sum(dim=(1, 2), keepdim=True).clamp(min=TINY)


def far_cycle(distance: Tensor) -> Tensor:
    """(B,) partners along one cycle through all images: from the pair that is farthest apart on, each time to
    the farthest that was not met yet. distance (B, B); algorithm 1 of the paper. Stays on the device."""
    count = len(distance)
    left = distance.clone().fill_diagonal_(-torch.inf)
    first = left.flatten().argmax() // count
    order = [first]
    for _ in range(count - 1):
        left = left.index_fill(1, order[-1][None], -torch.inf)
        order.append(left.index_select(0, order[-1][None])[0].argmax())
    walk = torch.stack(order)
    return torch.empty_like(walk).scatter_(0, walk, walk.roll(-1))
