"""GMix blends pairs with a Gaussian bump that shows the minority image; the label follows the mask's mean.

Park, Yun & Chun, NeurIPS 2022, arXiv:2208.09913. Code: naver-ai/hmix-gmix mixup.py: partners by reversing the
batch, one lam and centre (an integer pixel) per batch; the bump has the share min(lam, 1 - lam) of an
infinite plane and the border cuts it off, so the label is re-computed (unlike HMix). Only their batch mode
is GMix; our `lam_per=sample` draws a bump for each sample. Odd batches work. lam of exactly 0 or 1 (0/0 in
the authors' code) leaves the batch unmixed.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from msda_train.core.mix import Mix, picture_size
from msda_train.core.randomness import Rng
from msda_train.functional.masks import blob_mask, draw_centre
from msda_train.methods._pairwise import Pairwise, to_device


@dataclass(frozen=True)
class GMix(Pairwise):
    """x~ = M x + (1 - M) x[perm]; M = G where lam < 0.5, 1 - G where lam >= 0.5, G a Gaussian bump."""

    whole_numbers: ClassVar = True

    pairing: str = "reversal"

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`."""
        height, width = picture_size(x)
        minority = np.minimum(lam, 1 - lam)
        blob = blob_mask(minority, draw_centre(rng, len(lam), height, width), height, width, x.device)
        # Where the image itself is the majority, 1 - G: the same as |1 - G|, while |0 - G| is G.
        majority = to_device((lam >= 0.5) | (minority == 0), x).view(-1, 1, 1, 1)
        mask = (majority - blob).abs_()
        return Mix(perm, mask.mean(dim=(1, 2, 3)), mask)
