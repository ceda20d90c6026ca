"""HMix pastes a smaller CutMix box and mixes the rest, so that the label keeps the sampled lam exactly.

Park, Yun & Chun, NeurIPS 2022, arXiv:2208.09913. Code: naver-ai/hmix-gmix mixup.py: partners by reversing the
batch, one lam and box per batch, and the mixup part absorbs what truncation and clipping took from the box:
no re-adjustment of the label. The paper's CIFAR-100 ratio is 0.5 (our default), the code's default 1.0.
Only the authors' batch mode is HMix; our `lam_per=sample` does the same for each sample. Odd batches work
(theirs assert an even one). Their label smoothing of 0.1 is `recipe.label_smoothing=0.1` here.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.mix import Mix, picture_size
from msda_train.core.randomness import Rng
from msda_train.functional.masks import box_mask, centred_box, draw_centre, kept_share
from msda_train.methods._pairwise import Pairwise, to_device


@dataclass(frozen=True)
class HMix(Pairwise):
    """x~ = M x + (1 - M) x[perm]; M is 0 in a box of about (1 - lam) * ratio of the image, elsewhere
    lam / (share outside the box)."""

    whole_numbers: ClassVar = True

    ratio: float = 0.5
    pairing: str = "reversal"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.fraction("method.ratio", self.ratio)
        if self.ratio == 0:
            raise UserError("method.ratio=0: must be greater than 0; without a box it is method=mixup")

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`."""
        height, width = picture_size(x)
        edges = centred_box(lam, draw_centre(rng, len(lam), height, width), height, width, self.ratio)
        # The box never exceeds (1 - lam) * ratio, so the share outside is at least lam. Where it is 0 (lam is
        # 0, or so small that 1 - lam is 1) nothing lies outside, and any weight will do.
        kept = kept_share(edges, height, width)
        outside = lam / np.where(kept > 0, kept, 1)
        mask = box_mask(edges, height, width, x.device).mul_(to_device(outside, x).view(-1, 1, 1, 1))
        return Mix(perm, to_device(lam, x), mask)
