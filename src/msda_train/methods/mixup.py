"""mixup blends pairs of images and their labels with one weight.

Zhang, Cisse, Dauphin & Lopez-Paz, ICLR 2018, arXiv:1710.09412, equation (1). Code: facebookresearch/
mixup-cifar10: one lam per batch, partners by a random permutation, after normalisation; `lam_per=sample` and
`pairing=reversal` are the variants of other code bases. The paper's ablation draws partners of the same
class, or near ones, from all training images: the other pairings. CIFAR: alpha = 1; ImageNet: 0.1 to 0.4;
alpha = 0 in that code is `method=erm`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from msda_train.core.mix import Mix
from msda_train.core.randomness import Rng
from msda_train.methods._pairwise import Pairwise, blended


@dataclass(frozen=True)
class Mixup(Pairwise):
    """x~ = lam x + (1 - lam) x[perm], the same for the labels."""

    whole_numbers: ClassVar = True

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`."""
        return blended(lam, perm, x)
