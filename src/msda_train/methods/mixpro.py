"""MixPro mixes squares of patches, and trusts attention in labels as far as the network's answer fits.

Zhao, Huang, Hu, Zhang & Liu, ICLR 2023, arXiv:2304.12043. Code: fistyee/MixPro main.py, utils.py, which we
follow. MaskMix: the image in 4 x 4 squares of whole patches, of which ceil(16 lam), lam ~ Beta(alpha, alpha)
per batch, keep the image, for each image others; label weight their share m. Progressive attention labels:
with a the share of the class token's attention (last block, mean over heads, of the mixed image in this very
forward pass) in what is kept, and s the cosine between the label by m and the network's softmax, the weight
is s a + (1 - s) m. The attention has no gradient, s has one, as that code leaves it. Half of the batches are
mixed so, the others by mixup with alpha 0.8 or by CutMix with alpha 1; there these two reverse the batch, and
MaskMix permutes it. `labels=attention` is a alone, as Westlake-AI/openmixup's mixpro.py gives it; `area` is
MaskMix alone. openmixup's squares need not fill the image (64 of 224 pixels): those that its border cuts
count as whole ones, `count=squares`; `area` counts their pixels. Where all fit, both are the same.

In that code only s sees the label smoothing; here it is the recipe's.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.mix import Criterion, Mix, OwnLoss, Rows, picture_size, soft_labels
from msda_train.core.randomness import Rng
from msda_train.methods._box import PastesBox
from msda_train.methods._class_token import attended_share, attending, patch_of
from msda_train.methods._or_mixup import OrMixup
from msda_train.methods._pairwise import to_device


@dataclass(frozen=True)
class MixPro(OrMixup, PastesBox):
    """x~ = M x + (1 - M) x[perm]; M is 0 in whole squares, `squares` to a side. Or CutMix, or mixup."""

    whole_numbers: ClassVar = True

    prob: float = 1.0
    pairing: str = "permutation"
    squares: int = 4
    labels: str = "progressive"
    count: str = "area"
    mixup_prob: float = 0.25
    cutmix_prob: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.whole("method.squares", self.squares, least=1)
        checks.one_of("method.labels", self.labels, ("progressive", "attention", "area"))
        checks.one_of("method.count", self.count, ("area", "squares"))
        checks.fraction("method.cutmix_prob", self.cutmix_prob)
        if self.mixup_prob + self.cutmix_prob > 1:
            raise UserError(
                f"method.cutmix_prob={self.cutmix_prob}: more than 1, with "
                f"method.mixup_prob={self.mixup_prob}; "
                f"type method.cutmix_prob={1 - self.mixup_prob:g}"
            )

    def extend(self, network: nn.Module, classes: int) -> None:
        """See `msda_train.core.mix.Extends`."""
        if self.labels != "area":
            attending(network, "mixpro").attend = True

    def cut(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `OrMixup.cut`."""
        if rng.random() * (1 - self.mixup_prob) < self.cutmix_prob:
            return PastesBox.mix(self, x, y, lam, perm, model, rng)
        height, width = picture_size(x)
        patch = patch_of(None, model, height, width)
        side = patch * -(-height // (patch * self.squares))
        rows, columns = -(-height // side), -(-width // side)
        kept = np.ceil(rows * columns * lam).astype(int)
        ranks = rng.permuted(np.tile(np.arange(rows * columns), (len(x), 1)), axis=1)
        squares = to_device(ranks < kept[:, None], x).view(-1, 1, rows, columns)
        mask = squares.repeat_interleave(side, 2).repeat_interleave(side, 3)[:, :, :height, :width]
        weight = (mask if self.count == "area" else squares).mean(dim=(1, 2, 3))
        mix = Mix(perm, weight, mask)
        own = OwnLoss(self.attended, (y, y[perm], weight, mask), repr(self))
        return mix if self.labels == "area" else replace(mix, loss=own)

    def attended(
        self, logits: Tensor, target: Tensor, rows: Rows, network: nn.Module, criterion: Criterion
    ) -> Tensor:
        """The criterion on re-weighted labels; see `msda_train.core.mix.OwnLoss`."""
        own, other, area, mask = rows
        weight = attended_share(network, mask, area, "mixpro")
        if self.labels == "progressive":
            weight = torch.lerp(area, weight, F.cosine_similarity(target, logits.softmax(dim=1)))
        return criterion(logits, soft_labels(own, other, weight, target.shape[1]))
