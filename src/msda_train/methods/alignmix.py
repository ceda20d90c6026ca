"""AlignMixup aligns the features of two images before it mixes them, or mixes the images.

Venkataramanan, Kijak, Amsaleg & Avrithis, CVPR 2022, arXiv:2103.15375, equations (4) to (8). Code:
shashankvkt/AlignMixup_CVPR22 cifar10_100/models/resnet18_classifier.py and utils/OT.py, which we follow: one
lam per batch; one coin between input mixup and the last features before the average; there another coin,
which of both images keeps the places of its features. The other's are moved by the optimal plan R between
both (Sinkhorn, at most 100 rounds at eps 0.1, which stop once the mean change of the duals is less than 0.1),
with squared distances as cost, without a gradient through R. This is the paper's classifier without its
autoencoder (AlignMixup/AE), as in that code. Published on CIFAR with alpha 2.
An average over all places follows there, which does not see where a feature lies: alignment changes it only
as far as the rows and columns of R are not uniform when Sinkhorn stops. `depth` aligns earlier.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.mix import Mix, picture_size
from msda_train.core.randomness import Rng
from msda_train.methods._alignment import AlignedMix
from msda_train.methods._pairwise import Pairwise, blended


@dataclass(frozen=True)
class AlignMix(Pairwise):
    """h~ = lam h + (1 - lam) h[perm] R^T, or lam h R + (1 - lam) h[perm], of the last features; or of pixels.

    depth: of the features, as method.depths of Manifold Mixup; None: the input of the last stage. input_prob:
    how often pixels are mixed instead.
    """

    alpha: float = 2.0
    depth: int | None = None
    input_prob: float = 0.5
    eps: float = 0.1
    rounds: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth is not None:
            checks.whole("method.depth", self.depth, least=1)
        checks.fraction("method.input_prob", self.input_prob)
        checks.positive("method.eps", self.eps)
        checks.whole("method.rounds", self.rounds, least=1)

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`. UserError where the network has no stage of this depth."""
        picture_size(x)  # who has no places has nothing to align
        plain = blended(lam, perm, x)
        if rng.random() < self.input_prob:
            return plain
        last = len(model.stages) - 1
        depth = last if self.depth is None else self.depth
        if depth > last:
            raise UserError(f"method.depth={depth}: this network has depths 1 to {last}")
        moved = "partner" if rng.random() < 0.5 else "own"
        return AlignedMix(perm, plain.lam, plain.mask, depth, moved=moved, eps=self.eps, rounds=self.rounds)
