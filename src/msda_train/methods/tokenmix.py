"""TokenMix replaces blocks of patches by the partner's; labels are what a teacher sees in what remains.

Liu, Liu, Zhou, Li & Liu, ECCV 2022, arXiv:2207.08409. Code: Sense-X/TokenMix tokenmix.py, main.py, which we
follow: one mask per batch on the transformer's grid of patches (14 x 14 there), in blocks (`block_mask` of
`functional.masks`) or single patches (`mask=random`), of half of them (`draw=half`) and 14 of 196 more; where
no block fits any more, of fewer. The batch is reversed; half of the batches are mixed by mixup with alpha 0.8
instead.
A label's weight is the share of its image's activation in the patches that are seen: the two need not add up
to 1, and the published DeiT runs have recipe.criterion=bce.
`activation`:
- `teacher`: what a finished run of ours (`method.teacher`) says of each place of the clean, cropped image:
  the probability of its own class, brought to the grid bilinearly. There: stored top-5 maps of NFNet-F6 for
  whole ImageNet images (TokenLabeling), cut at the crop by RoI-Align. The paper says any teacher will do.
- `attention`: the class token's attention of the network that is trained, to the clean image: so
  Westlake-AI/openmixup's tokenmix.py, which draws lam ~ Beta(alpha, alpha) (`draw=beta`), has random partners
  and always mixes so. It adds up each image's attention in the patches that the *other* one fills, a slip
  that ours does not have.
- `area`: the patches' number, CutMix's label.
Label smoothing is the recipe's; there each of the two weights gives half of it, whatever its size.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.mix import Criterion, Mix, OwnLoss, Rows, one_hot, picture_size
from msda_train.core.randomness import Rng
from msda_train.functional.masks import block_mask, scattered_mask
from msda_train.methods._activation import Activation
from msda_train.methods._class_token import patch_of
from msda_train.methods._or_mixup import OrMixup
from msda_train.methods._pairwise import to_device

HALF = 0.5
MASKS = {"block": block_mask, "random": scattered_mask}


@dataclass(frozen=True)
class TokenMix(OrMixup, Activation):
    """x~ = M x + (1 - M) x[perm]; M is 0 in whole patches."""

    mask: str = "block"
    draw: str = "half"
    more: float = 0.0714
    patch: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("method.mask", self.mask, tuple(MASKS))
        checks.one_of("method.draw", self.draw, ("half", "beta"))
        checks.fraction("method.more", self.more)
        if self.patch is not None:
            checks.whole("method.patch", self.patch, least=1)
            if self.activation == "attention":
                raise UserError("method.patch: attention is to the network's own; type method.patch=null")

    def cut(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `OrMixup.cut`; lam counts with draw=beta only."""
        patch = patch_of(self.patch, model, *picture_size(x))
        rows, columns = (side // patch for side in picture_size(x))
        whole, share = rows * columns, np.full(len(lam), HALF) if self.draw == "half" else 1 - lam
        count = np.minimum((share * whole).astype(int) + round(self.more * whole), whole)
        kept = to_device(np.stack([MASKS[self.mask](rng, rows, columns, int(n)) for n in count]), x)
        mask = kept[:, None].repeat_interleave(patch, 2).repeat_interleave(patch, 3)
        mix = Mix(perm, kept.mean(dim=(1, 2)), mask)
        if self.activation == "area":
            return mix
        seen = self.seen(x, y, model, rows, columns)
        scores = (seen * kept).sum(dim=(1, 2)), (seen[perm] * (1 - kept)).sum(dim=(1, 2))
        return replace(mix, loss=OwnLoss(_scored, (y, y[perm], *scores), "tokenmix"))


def _scored(logits: Tensor, target: Tensor, rows: Rows, network: nn.Module, criterion: Criterion) -> Tensor:
    """The criterion on labels with the two images' scores."""
    own, other, mine, its = rows
    a, b = (one_hot(y, target.shape[1]) for y in (own, other))
    return criterion(logits, mine[:, None] * a + its[:, None] * b)
