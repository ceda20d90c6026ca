"""TransMix is CutMix whose labels are weighted by what the transformer's class token looks at.

Chen, Sun, He, Torr, Yuille & Bai, CVPR 2022, arXiv:2111.09833. The label weight of the pasted image is the
share of attention (last block, class token to patches, mean over heads, of the mixed image in this very
forward pass) that falls into the box; the mask is brought to the grid of patches by nearest neighbours.
Code: Beckschen/TransMix transmix.py, which we follow: half of the weight stays that of the area, as in
Westlake-AI/openmixup's transmix.py: `area=0.5`; 0 is attention alone. The attention has no gradient.
DeiT-S's config there mixes by CutMix with alpha 1 in 0.8 of the batches, else by mixup with alpha 0.8; batch
reversed, one coin, lam and box per batch. openmixup mixes by CutMix only (`mixup_prob=0`), with random
partners (`pairing=permutation`). Its version for several GPUs swaps the two shares of attention, a slip.

`area` is also what remains where a network gives the whole image no attention at all, as a rounding may.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from msda_train.config import checks
from msda_train.core.mix import Criterion, Mix, OwnLoss, Rows, soft_labels
from msda_train.core.randomness import Rng
from msda_train.methods._box import PastesBox
from msda_train.methods._class_token import attended_share, attending
from msda_train.methods._or_mixup import OrMixup


@dataclass(frozen=True)
class TransMix(OrMixup, PastesBox):
    """x~ = M x + (1 - M) x[perm] as CutMix; labels by area and attention."""

    prob: float = 1.0
    area: float = 0.5
    mixup_prob: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.fraction("method.area", self.area)

    def extend(self, network: nn.Module, classes: int) -> None:
        """See `msda_train.core.mix.Extends`."""
        attending(network, "transmix").attend = True

    def cut(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `OrMixup.cut`."""
        mix = PastesBox.mix(self, x, y, lam, perm, model, rng)
        return replace(mix, loss=OwnLoss(self.attended, (y, y[perm], mix.lam, mix.mask), repr(self)))

    def attended(
        self, logits: Tensor, target: Tensor, rows: Rows, network: nn.Module, criterion: Criterion
    ) -> Tensor:
        """The criterion on re-weighted labels; see `msda_train.core.mix.OwnLoss`."""
        own, other, lam, mask = rows
        share = attended_share(network, mask, lam, "transmix")
        weight = self.area * lam + (1 - self.area) * share
        return criterion(logits, soft_labels(own, other, weight, target.shape[1]))
