"""RankMixup trains on clean images, and asks for the less sure answers, the more an image is mixed.

Noh, Park, Lee & Ham, ICCV 2023, arXiv:2308.11990. Code: cvlab-yonsei/RankMixup calibrate/losses/rankmixup.py
(RankMixup_MNDCG), which we follow: an image and its mixups with 3 partners, one lam ~ Beta(alpha, alpha) and
one permutation for each of the 3 (alpha 2 on CIFAR, 1 on TinyImageNet). c_0 is the largest softmax of the
image, c_1, c_2, c_3 those of its mixes in the order of their labels' largest weights l_1 >= l_2 >= l_3; l_0 =
1:

    DCG = sum_i c_i / log2(i + 2),  IDCG = sum_i l_i / log2(i + 2),  loss = criterion(clean) + 0.1 (1 - r),

r the smaller of DCG / IDCG and IDCG / DCG, mean over images. The mixed labels are not learned.
qbouniot/sim_kernel_mixup (RankMixupMNDCG) does the same. The paper's other loss (MRL, one mix, a margin
between logits) is not here.

There the clean batch passes alone and the mixed ones together; here BatchNorm sees all four at once, or, with
recipe.batchnorm_parts=4, each by itself. Four times ERM's work per step; needs one device.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from msda_train.config import checks
from msda_train.core.mix import Criterion, Mix, OwnLoss, Rows
from msda_train.core.randomness import Rng, draw_lam
from msda_train.methods._pairwise import check_batch_alone, partners, to_device
from msda_train.methods.mixup import Mixup


@dataclass(frozen=True)
class RankMixup(Mixup):
    """x~ = lam x + (1 - lam) x[perm], `mixes` times, after x itself: a plan for (1 + mixes) B samples."""

    alpha: float = 2.0
    mixes: int = 3
    weight: float = 0.1

    alone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.whole("method.mixes", self.mixes, least=1)
        checks.non_negative("method.weight", self.weight)
        check_batch_alone(self, "mixup")

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`."""
        own, perms, lams = torch.arange(len(x), device=x.device), [perm], [np.broadcast_to(lam, len(x))]
        for _ in range(self.mixes - 1):
            lams.append(np.broadcast_to(draw_lam(rng, self.alpha, len(lam)), len(x)))
            perms.append(partners(rng, self.pairing, x))
        weight = to_device(np.concatenate([np.ones(len(x)), *lams]), x)
        mix = Mix(torch.cat([own, *perms]), weight, weight.view(-1, 1, 1, 1))
        loss = OwnLoss(self.ranked, name=repr(self))
        return replace(mix, own=own.repeat(1 + self.mixes), loss=loss)

    def ranked(
        self, logits: Tensor, target: Tensor, rows: Rows, network: nn.Module, criterion: Criterion
    ) -> Tensor:
        """Both losses; see `msda_train.core.mix.OwnLoss`."""
        parts = 1 + self.mixes
        sure = logits.softmax(dim=1).amax(dim=1).view(parts, -1)
        ideal, order = target.amax(dim=1).view(parts, -1)[1:].sort(dim=0, descending=True, stable=True)
        discount = torch.arange(2, parts + 2, device=logits.device).log2()[:, None]
        found = (torch.cat([sure[:1], sure[1:].gather(0, order)]) / discount).sum(dim=0)
        best = (torch.cat([torch.ones_like(ideal[:1]), ideal]) / discount).sum(dim=0)
        gain = torch.minimum(found / best, best / found)
        clean = len(logits) // parts
        return criterion(logits[:clean], target[:clean]) + self.weight * (1 - gain).mean()
